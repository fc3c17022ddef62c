//! What the story was to show, and whether it did: findings by claim, and one line for each in the end.
//!
//! The claims are those of CN110414892A, as this project reads them.

use std::collections::BTreeMap;

/// The claims that the story is about.
pub const CLAIMS: std::ops::RangeInclusive<u8> = 1..=8;

/// Longer errors are cut: a claim is one line.
const LINE_MAX: usize = 600;

#[derive(Debug)]
struct Finding {
    holds: bool,
    text: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Claims {
    findings: BTreeMap<u8, Vec<Finding>>,
}

impl Claims {
    /// Records something seen with its evidence; answers whether it held.
    pub fn check(&mut self, claim: u8, holds: bool, evidence: impl Into<String>) -> bool {
        let finding = Finding { holds, text: evidence.into() };
        self.findings.entry(claim).or_default().push(finding);
        holds
    }

    /// Records that a chapter broke off, for every claim it was about.
    pub fn broke_off(&mut self, claims: &[u8], error: &anyhow::Error) {
        for claim in claims {
            let text: String = format!("{error:#}").replace(['\n', '\r'], " ").chars().take(LINE_MAX).collect();
            self.check(*claim, false, text);
        }
    }

    /// Whether every claim was looked at and everything found held.
    pub fn all_hold(&self) -> bool {
        CLAIMS.into_iter().all(|claim| self.holds(claim))
    }

    fn holds(&self, claim: u8) -> bool {
        self.findings.get(&claim).is_some_and(|findings| findings.iter().all(|finding| finding.holds))
    }

    /// One line a claim. What did not hold stands first.
    pub fn lines(&self) -> Vec<String> {
        let line = |claim| {
            let verdict = if self.holds(claim) { "ok" } else { "FAILED" };
            let findings = self.findings.get(&claim).map(Vec::as_slice).unwrap_or_default();
            let broken = findings.iter().filter(|finding| !finding.holds);
            let whole = findings.iter().filter(|finding| finding.holds);
            let texts: Vec<&str> = broken.chain(whole).map(|finding| finding.text.as_str()).collect();
            let evidence = if texts.is_empty() { "nothing was seen".to_owned() } else { texts.join("; ") };
            format!("claim {claim} {verdict}  {evidence}")
        };
        CLAIMS.map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_without_findings_fails() {
        let claims = Claims::default();
        assert!(!claims.all_hold());
        assert_eq!(claims.lines().len(), 8);
        assert_eq!(claims.lines()[0], "claim 1 FAILED  nothing was seen");
    }

    #[test]
    fn one_broken_finding_fails_a_claim_and_stands_first() {
        let mut claims = Claims::default();
        for claim in CLAIMS {
            assert!(claims.check(claim, true, "seen"));
        }
        assert!(claims.all_hold());
        claims.broke_off(&[3], &anyhow::anyhow!("no recall\nin time"));
        assert!(!claims.all_hold());
        assert_eq!(claims.lines()[2], "claim 3 FAILED  no recall in time; seen");
        assert_eq!(claims.lines()[3], "claim 4 ok  seen");
    }
}
