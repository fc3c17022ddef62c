//! Problem to gRPC status: one exhaustive match, and the catalogue of reasons.
//!
//! Every status carries `google.rpc.ErrorInfo` with a reason and the domain `gatepost`. Internal texts are logged and
//! never sent.

use std::collections::HashMap;

use gatepost_domain::Refusal;
use gatepost_storage::StoreError;
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::photograph::Unfit;
use crate::problem::{Missing, ModelUpgradeProblem, PhotographProblem, Problem, Taken};

const DOMAIN: &str = "gatepost";

/// What a caller is told.
pub fn status(problem: Problem) -> Status {
    let text = problem.to_string();
    match problem {
        Problem::Refused(refusal) => refused(&refusal, text),
        Problem::Store(error) => store(&error),
        Problem::NotFound(missing) => told(Code::NotFound, not_found(missing), text),
        Problem::Exists(taken) => told(Code::AlreadyExists, exists(taken), text),
        Problem::NumberTaken => told(Code::AlreadyExists, "TRACKING_NUMBER_TAKEN", text),
        Problem::Invalid(violations) => {
            let text =
                violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; ");
            let mut details = info("INVALID_FIELD", HashMap::new());
            details.set_bad_request(
                violations.into_iter().map(|v| FieldViolation::new(v.field, v.description)).collect::<Vec<_>>(),
            );
            Status::with_error_details(Code::InvalidArgument, text, details)
        }
        Problem::Policy(_) => told(Code::InvalidArgument, "INVALID_POLICY", text),
        Problem::Topology(_) => told(Code::InvalidArgument, "INVALID_TOPOLOGY", text),
        Problem::RequestIdReused => told(Code::InvalidArgument, "REQUEST_ID_REUSED", text),
        Problem::PageToken => told(Code::InvalidArgument, "INVALID_PAGE_TOKEN", text),
        Problem::CompartmentInUse(..) => told(Code::FailedPrecondition, "COMPARTMENT_IN_USE", text),
        Problem::SequenceUnknown { .. } => told(Code::InvalidArgument, "SEQUENCE_UNKNOWN", text),
        Problem::EventsExpired { oldest, .. } => {
            let metadata = HashMap::from([("oldest_sequence".to_owned(), oldest.to_string())]);
            Status::with_error_details(Code::OutOfRange, text, info("EVENTS_EXPIRED", metadata))
        }
        Problem::EndpointsFull(_) => told(Code::FailedPrecondition, "ENDPOINTS_FULL", text),
        Problem::DisabledByAdministrator => told(Code::FailedPrecondition, "DISABLED_BY_ADMINISTRATOR", text),
        Problem::TimedOut => told(Code::DeadlineExceeded, "TIMED_OUT", text),
        Problem::Busy => told(Code::Unavailable, "BUSY", text),
        Problem::Photograph(PhotographProblem::Unfit(unfit)) => {
            let reasons = reasons(&PhotographProblem::Unfit(unfit));
            let gravest = reasons.first().copied().unwrap_or("NO_FACE");
            let metadata = HashMap::from([("reasons".to_owned(), reasons.join(","))]);
            Status::with_error_details(Code::InvalidArgument, text, info(gravest, metadata))
        }
        Problem::Photograph(photograph) => {
            let (code, reason) = photo(&photograph);
            told(code, reason, text)
        }
        Problem::GateBusy => told(Code::FailedPrecondition, "GATE_BUSY", text),
        Problem::GuardianNeeded => told(Code::FailedPrecondition, "GUARDIAN_NEEDED", text),
        Problem::NoVisionWorker => told(Code::Unavailable, "NO_VISION_WORKER", text),
        Problem::VisionWorkerFailed => {
            tracing::warn!("the vision worker failed on a photograph");
            told(Code::Unavailable, "VISION_WORKER_FAILED", text)
        }
        Problem::ModelUpgrade(upgrade) => {
            let reason = match upgrade {
                ModelUpgradeProblem::NothingEnrolled => "NOTHING_ENROLLED",
                ModelUpgradeProblem::UnderWay(_) => "MODEL_UPGRADE_UNDER_WAY",
                ModelUpgradeProblem::NotUnderWay => "NO_MODEL_UPGRADE",
            };
            told(Code::FailedPrecondition, reason, text)
        }
        Problem::MisidentificationStands => told(Code::FailedPrecondition, "MISIDENTIFICATION_STANDS", text),
        Problem::Vault(error) => {
            tracing::error!(%error, "enrolled faces cannot be sealed or opened");
            told(Code::FailedPrecondition, "FACE_KEYS_UNUSABLE", text)
        }
        Problem::Draining => told(Code::Unavailable, "DRAINING", text),
        Problem::ModelMismatch { .. } => told(Code::FailedPrecondition, "MODEL_MISMATCH", text),
        Problem::Stranger(stranger) => told(Code::Unauthenticated, stranger.reason(), text),
        Problem::Forbidden(_) => told(Code::PermissionDenied, "PERMISSION_DENIED", text),
        Problem::ScopeMissing { scope, .. } => {
            let metadata = HashMap::from([("scope".to_owned(), scope.to_string())]);
            Status::with_error_details(Code::PermissionDenied, text, info("SCOPE_MISSING", metadata))
        }
        Problem::OverQuota(exceeded) => {
            let metadata = HashMap::from([
                ("quota".to_owned(), exceeded.limit.setting().to_owned()),
                ("limit".to_owned(), exceeded.most.to_string()),
            ]);
            let mut details = info("QUOTA_EXCEEDED", metadata);
            details.set_retry_info(Some(exceeded.retry_in));
            let mut status = Status::with_error_details(Code::ResourceExhausted, text, details);
            // For clients that retry by a service config: gRPC proposal A6, "pushback".
            let milliseconds = u64::try_from(exceeded.retry_in.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
            status.metadata_mut().insert("grpc-retry-pushback-ms", milliseconds.into());
            status
        }
        Problem::RoleMissing(_) => told(Code::PermissionDenied, "ROLE_MISSING", text),
        Problem::IdentityProviderAway => told(Code::Unavailable, "IDENTITY_PROVIDER_UNAVAILABLE", text),
        Problem::BeyondOwn => told(Code::PermissionDenied, "SCOPE_MISSING", text),
        Problem::KeyRevoked => told(Code::FailedPrecondition, "KEY_REVOKED", text),
        Problem::SecretsFull => told(Code::FailedPrecondition, "SECRETS_FULL", text),
        Problem::Bug(what) => internal(what),
    }
}

/// Gives a reason to a status in headers or trailers that came from a library. Ours have theirs.
pub fn give_reason(headers: &mut HeaderMap) {
    let bare =
        Status::from_header_map(headers).filter(|status| status.code() != Code::Ok && status.details().is_empty());
    if let Some(bare) = bare {
        // It fits into headers: what it is made from did.
        let _ = of_library(&bare).add_header(headers);
    }
}

fn of_library(bare: &Status) -> Status {
    let text = bare.message().to_owned();
    match bare.code() {
        // What cannot be decoded, or did not come at all, is the caller's doing. Our own defects are told by `internal`.
        Code::Internal => told(Code::InvalidArgument, "MALFORMED_MESSAGE", text),
        Code::OutOfRange => told(Code::OutOfRange, "MESSAGE_TOO_LARGE", text),
        Code::Unimplemented if text.is_empty() => {
            told(Code::Unimplemented, "UNIMPLEMENTED", "there is no such rpc".to_owned())
        }
        Code::Unimplemented => told(Code::Unimplemented, "UNIMPLEMENTED", text),
        Code::NotFound => told(Code::NotFound, "SERVICE_NOT_FOUND", text),
        // A stream that broke, or ended before its messages did. Nobody reads this.
        code => told(code, "BROKEN_OFF", text),
    }
}

fn refused(refusal: &Refusal, text: String) -> Status {
    let (code, reason) = match refusal {
        Refusal::IllegalStep { state, step } => {
            let metadata =
                HashMap::from([("state".to_owned(), state.to_string()), ("step".to_owned(), (*step).to_owned())]);
            return Status::with_error_details(Code::FailedPrecondition, text, info("ILLEGAL_STEP", metadata));
        }
        Refusal::RecallNotInEffect { asked, latest } => {
            let metadata = HashMap::from([
                ("recall_number".to_owned(), asked.to_string()),
                ("latest_recall_number".to_owned(), latest.to_string()),
            ]);
            return Status::with_error_details(Code::FailedPrecondition, text, info("RECALL_NOT_IN_EFFECT", metadata));
        }
        Refusal::TimeInFuture => (Code::InvalidArgument, "TIME_IN_FUTURE"),
        Refusal::TimeBeforeAnnouncement { .. } => (Code::InvalidArgument, "TIME_BEFORE_ANNOUNCEMENT"),
        Refusal::TimeBeforeDeposit { .. } => (Code::InvalidArgument, "TIME_BEFORE_DEPOSIT"),
        Refusal::RecipientUnresolved => (Code::FailedPrecondition, "RECIPIENT_UNRESOLVED"),
        Refusal::NoDepositConsent => (Code::FailedPrecondition, "NO_DEPOSIT_CONSENT"),
        Refusal::CompartmentNotFound { .. } => (Code::NotFound, "COMPARTMENT_NOT_FOUND"),
        Refusal::CompartmentTooSmall { .. } => (Code::FailedPrecondition, "COMPARTMENT_TOO_SMALL"),
        Refusal::NoPlacement => (Code::FailedPrecondition, "NO_PLACEMENT"),
        Refusal::AttemptUnknown { .. } => (Code::InvalidArgument, "ATTEMPT_UNKNOWN"),
        Refusal::NoHold => (Code::FailedPrecondition, "NO_HOLD"),
        Refusal::AlreadyHeld => (Code::FailedPrecondition, "ALREADY_HELD"),
        Refusal::HoldOutOfRange { .. } => (Code::FailedPrecondition, "HOLD_OUT_OF_RANGE"),
        Refusal::Held { .. } => (Code::FailedPrecondition, "HELD"),
        Refusal::NoExtension => (Code::FailedPrecondition, "NO_EXTENSION"),
        Refusal::AlreadyExtended => (Code::FailedPrecondition, "ALREADY_EXTENDED"),
        Refusal::ExtensionOutOfRange { .. } => (Code::FailedPrecondition, "EXTENSION_OUT_OF_RANGE"),
        Refusal::CompartmentTaken { .. } => (Code::FailedPrecondition, "COMPARTMENT_TAKEN"),
    };
    told(code, reason, text)
}

fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Conflict => told(Code::Aborted, "CONFLICT", "too many changes at once: try again".into()),
        StoreError::CompartmentTaken => {
            told(Code::Aborted, "CONFLICT", "the compartment was taken just now: try again".into())
        }
        StoreError::TrackingNumberTaken => status(Problem::NumberTaken),
        StoreError::Exists => told(Code::AlreadyExists, "EXISTS", "it exists already".into()),
        StoreError::NotFound => told(Code::NotFound, "NOT_FOUND", "no such thing".into()),
        StoreError::Unavailable(text) => {
            tracing::error!(error = %text, "database unavailable");
            told(Code::Unavailable, "DATABASE_UNAVAILABLE", "the database cannot be reached: try again later".into())
        }
        StoreError::Corrupt(text) => {
            tracing::error!(error = %text, "a row cannot be read");
            internal("a row cannot be read")
        }
    }
}

fn internal(what: &str) -> Status {
    tracing::error!(what, "internal error");
    told(Code::Internal, "INTERNAL", "internal error, see the server's log".into())
}

fn not_found(missing: Missing) -> &'static str {
    match missing {
        Missing::Parcel => "PARCEL_NOT_FOUND",
        Missing::Community => "COMMUNITY_NOT_FOUND",
        Missing::Resident => "RESIDENT_NOT_FOUND",
        Missing::Courier => "COURIER_NOT_FOUND",
        Missing::Gate => "GATE_NOT_FOUND",
        Missing::Capture => "CAPTURE_NOT_FOUND",
        Missing::Key => "KEY_NOT_FOUND",
        Missing::Compartment => "COMPARTMENT_NOT_FOUND",
        Missing::Reminder => "REMINDER_NOT_FOUND",
        Missing::Misidentification => "MISIDENTIFICATION_NOT_FOUND",
        Missing::Conflict => "CONFLICT_NOT_FOUND",
        Missing::Decision => "DECISION_NOT_FOUND",
        Missing::Endpoint => "ENDPOINT_NOT_FOUND",
        Missing::Erasure => "ERASURE_NOT_FOUND",
    }
}

fn exists(taken: Taken) -> &'static str {
    match taken {
        Taken::Community => "COMMUNITY_EXISTS",
        Taken::Courier => "COURIER_EXISTS",
        Taken::PersonReference => "RESIDENT_EXISTS",
    }
}

/// Everything that is wrong with a photograph, the gravest first.
pub fn reasons(problem: &PhotographProblem) -> Vec<&'static str> {
    match problem {
        PhotographProblem::Unfit(unfit) => unfit.iter().map(|what| self::unfit(*what)).collect(),
        other => vec![photo(other).1],
    }
}

fn photo(problem: &PhotographProblem) -> (Code, &'static str) {
    match problem {
        PhotographProblem::NoConsent => (Code::FailedPrecondition, "NO_RECOGNITION_CONSENT"),
        PhotographProblem::Full => (Code::FailedPrecondition, "FACES_FULL"),
        PhotographProblem::NotAJpeg => (Code::InvalidArgument, "NOT_A_JPEG"),
        PhotographProblem::TooLarge => (Code::InvalidArgument, "IMAGE_TOO_LARGE"),
        PhotographProblem::NoFace | PhotographProblem::Unfit(_) => (Code::InvalidArgument, "NO_FACE"),
        PhotographProblem::SeveralFaces => (Code::InvalidArgument, "SEVERAL_FACES"),
        PhotographProblem::Conflict => (Code::FailedPrecondition, "FACE_CONFLICT"),
    }
}

fn unfit(what: Unfit) -> &'static str {
    match what {
        Unfit::TooSmall => "FACE_TOO_SMALL",
        Unfit::Blurred => "FACE_BLURRED",
        Unfit::Turned => "FACE_TURNED",
        Unfit::Occluded => "FACE_OCCLUDED",
        Unfit::Dark => "FACE_DARK",
        Unfit::Grey => "FACE_GREY",
        Unfit::NotLive => "FACE_NOT_LIVE",
    }
}

fn told(code: Code, reason: &str, text: String) -> Status {
    Status::with_error_details(code, text, info(reason, HashMap::new()))
}

fn info(reason: &str, metadata: HashMap<String, String>) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
