//! Who may agree for whom: to gate recognition of a child under 14, a guardian (China's PIPL, article 31).

use gatepost_domain::{consent::Purpose, id::ResidentId, resident::Resident};
use gatepost_storage::Tx;

use crate::problem::Problem;

/// Whether `guardian`, empty for nobody, may agree to a purpose for a resident. A resident's id must be another's of the
/// community, and no child's; what a reference of the property's stands for is for the property to know.
pub(super) async fn check(tx: &Tx, child: &Resident, purpose: Purpose, guardian: &str) -> Result<(), Problem> {
    if guardian.is_empty() {
        let needed = child.under_14 && purpose == Purpose::GateRecognition;
        return if needed { Err(Problem::GuardianNeeded) } else { Ok(()) };
    }
    if !guardian.starts_with("res_") {
        return Ok(());
    }
    let id = guardian.parse::<ResidentId>().ok().filter(|id| *id != child.id);
    let found = match id {
        Some(id) => tx.resident(id).await?,
        None => None,
    };
    let may = found.is_some_and(|found| found.community == child.community && !found.under_14);
    let wanted =
        || Problem::invalid("guardian", "another resident of the community who is not under 14, or a reference");
    if may { Ok(()) } else { Err(wanted()) }
}
