//! Layers of a policy: the last that says something decides, field by field, and is named.

use gatepost_domain::policy::{self, Layer, PolicyError, PolicyLayer, WaitingPolicy};
use jiff::SignedDuration;
use proptest::prelude::*;

fn layers() -> impl Strategy<Value = PolicyLayer> {
    let duration = || prop::option::of((0i64..200).prop_map(SignedDuration::from_hours));
    let minute = || prop::option::of(0u16..1440);
    let durations = (duration(), duration(), duration(), duration(), duration(), duration(), duration());
    let numbers = (prop::option::of(0u32..10), prop::option::of(0u32..1_000));
    let minutes = (minute(), minute(), minute());
    (durations, numbers, minutes).prop_map(
        |((t1, t2, again, cooldown, reservation, extension, hold_max), (reminders_max, overflow_metres), minutes)| {
            let (quiet_from_minute, quiet_to_minute, usual_minute) = minutes;
            PolicyLayer {
                remind_after: t1,
                recall_after: t2,
                recall_again_after: again,
                reminder_cooldown: cooldown,
                reminders_max,
                quiet_from_minute,
                quiet_to_minute,
                usual_minute,
                extension,
                hold_max,
                reservation,
                overflow_metres,
            }
        },
    )
}

/// The answer for one field, told the long way.
fn decide<T: Copy>(default: T, tenant: Option<T>, community: Option<T>, courier: Option<T>) -> (T, Layer) {
    match (tenant, community, courier) {
        (_, _, Some(value)) => (value, Layer::Courier),
        (_, Some(value), None) => (value, Layer::Community),
        (Some(value), None, None) => (value, Layer::Tenant),
        (None, None, None) => (default, Layer::Default),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_layer_that_speaks_decides_each_field(
        tenant in layers(), community in layers(), courier in layers()
    ) {
        let stack = [(Layer::Tenant, &tenant), (Layer::Community, &community), (Layer::Courier, &courier)];
        let (merged, decided) = policy::merge(&stack);
        let default = WaitingPolicy::default();
        macro_rules! check_fields {
            ($($field:ident),*) => {
                // Names every field, so that a new one cannot be forgotten here.
                let WaitingPolicy { $($field),* } = merged;
                $(
                    let (value, layer) = decide(default.$field, tenant.$field, community.$field, courier.$field);
                    prop_assert_eq!(($field, decided[stringify!($field)]), (value, layer), "{}", stringify!($field));
                )*
                prop_assert_eq!(decided.len(), [$(stringify!($field)),*].len());
            };
        }
        check_fields!(
            remind_after, recall_after, recall_again_after, reminder_cooldown, reminders_max, quiet_from_minute,
            quiet_to_minute, usual_minute, extension, hold_max, reservation, overflow_metres
        );
    }

    #[test]
    fn t1_below_t2_is_enforced_on_the_merged_policy(tenant in layers(), courier in layers()) {
        let (merged, _) = policy::merge(&[(Layer::Tenant, &tenant), (Layer::Courier, &courier)]);
        let second = SignedDuration::from_secs(1);
        let long_enough = merged.recall_again_after >= second && merged.reservation >= second;
        let below = merged.remind_after < merged.recall_after;
        match merged.check() {
            Ok(()) => prop_assert!(long_enough && below),
            Err(PolicyError::T1NotBelowT2 { .. }) => prop_assert!(!below),
            Err(PolicyError::OutOfRange { .. }) => prop_assert!(!long_enough),
        }
    }
}

#[test]
fn every_limit_is_held() {
    let hours = SignedDuration::from_hours;
    let base = WaitingPolicy::default();
    let wrong = [
        WaitingPolicy { remind_after: hours(-1), ..base.clone() },
        WaitingPolicy { recall_after: hours(24 * 366 + 1), ..base.clone() },
        WaitingPolicy { recall_again_after: SignedDuration::ZERO, ..base.clone() },
        WaitingPolicy { reminder_cooldown: hours(-1), ..base.clone() },
        WaitingPolicy { hold_max: hours(-1), ..base.clone() },
        WaitingPolicy { extension: hours(-1), ..base.clone() },
        WaitingPolicy { reservation: SignedDuration::ZERO, ..base.clone() },
        WaitingPolicy { quiet_from_minute: 1440, ..base.clone() },
        WaitingPolicy { quiet_to_minute: 1440, ..base.clone() },
        WaitingPolicy { usual_minute: 1440, ..base.clone() },
        WaitingPolicy { reminders_max: 101, ..base.clone() },
        WaitingPolicy { overflow_metres: 100_001, ..base.clone() },
    ];
    for policy in wrong {
        assert!(matches!(policy.check(), Err(PolicyError::OutOfRange { .. })), "{policy:?}");
    }
    let equal = WaitingPolicy { remind_after: base.recall_after, ..base };
    assert!(matches!(equal.check(), Err(PolicyError::T1NotBelowT2 { .. })));
}
