//! What the platform refused, in words for the shell: the reason, the fields and what stands in them that is wrong.

use std::{fmt, time::Duration};

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// A refused call.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    reason: Option<String>,
    message: String,
    violations: Vec<(String, String)>,
    retry_in: Option<Duration>,
}

impl Failure {
    /// The machine-readable reason, for example `RESIDENT_EXISTS`.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What is wrong with the request, field by field.
    pub(super) fn violations(&self) -> &[(String, String)] {
        &self.violations
    }

    /// Whether it is this one request that was refused. Otherwise the next one would fail alike.
    pub(super) fn is_about_the_request(&self) -> bool {
        matches!(
            self.code,
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange
        )
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|request| &request.field_violations[..]).unwrap_or_default();
        Failure {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).filter(|reason| !reason.is_empty()),
            message: status.message().to_owned(),
            retry_in: details.retry_info().and_then(|info| info.retry_delay),
            violations: violations.iter().map(|one| (one.field.clone(), one.description.clone())).collect(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason}")?,
            None => write!(f, "{:?}", self.code)?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if self.code == Code::Unauthenticated && self.reason.as_deref().is_none_or(|reason| reason == "UNAUTHENTICATED")
        {
            write!(f, " (is it an administrator's key of this platform?)")?;
        }
        // A message that is about one field alone has said it already.
        let mut untold = self.violations.iter().filter(|(_, problem)| !self.message.contains(problem.as_str()));
        untold.try_for_each(|(field, problem)| write!(f, "\n  field {field}: {problem}"))
    }
}

impl std::error::Error for Failure {}

/// The answer, or the failure.
pub(super) fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Failure> {
    result.map(Response::into_inner).map_err(Failure::from)
}

/// Does something again for as long as the platform asks to wait: an import makes more calls than fit into a quota.
pub(super) async fn patiently<T>(mut work: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match work().await {
            Err(Failure { retry_in: Some(wait), .. }) => tokio::time::sleep(wait).await,
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn reason_and_fields_are_told() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELD", "gatepost", std::collections::HashMap::new());
        details.add_bad_request_violation("resident.phone", "has fewer than 8 digits");
        let status = Status::with_error_details(Code::InvalidArgument, "the resident cannot be added", details);
        let failure = answer::<()>(Err(status)).unwrap_err();
        assert_eq!(failure.reason(), Some("INVALID_FIELD"));
        assert!(failure.is_about_the_request());
        assert_eq!(
            failure.to_string(),
            "INVALID_FIELD: the resident cannot be added\n  field resident.phone: has fewer than 8 digits"
        );
    }

    #[tokio::test]
    async fn a_full_quota_is_waited_for() {
        let mut left = 2;
        let done = patiently(async || {
            left -= 1;
            let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
            let refused = Status::with_error_details(Code::ResourceExhausted, "too many calls", details);
            if left > 0 { answer::<()>(Err(refused)) } else { Ok(()) }
        });
        assert!(done.await.is_ok());
        assert_eq!(left, 0);
    }

    #[test]
    fn a_status_without_details_still_says_something() {
        let failure = Failure::from(Status::unauthenticated(""));
        assert_eq!(failure.to_string(), "Unauthenticated (is it an administrator's key of this platform?)");
        assert!(!failure.is_about_the_request());
    }
}
