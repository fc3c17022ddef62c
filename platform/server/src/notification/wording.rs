//! Every sentence a resident is ever sent: Chinese first, then English. No sentence names a person.

/// What a gate's display says when it may not say where.
pub fn parcel_waits() -> String {
    "您有包裹待取 · A parcel is waiting for you".to_owned()
}

/// What a gate's display says when the community lets it name the locker.
pub fn parcel_waits_in(locker_name: &str) -> String {
    format!("您有包裹在{locker_name}待取 · A parcel is waiting for you in {locker_name}")
}

/// The subject of a reminder. It is shown on locked screens, so it does not say where.
pub fn email_subject() -> String {
    "您有包裹待取 · A parcel is waiting for you".to_owned()
}

/// The text of a reminder.
pub fn email_body(locker_name: &str, compartment: &str) -> String {
    format!(
        "您好！\n\n\
         您有一个包裹正在等您领取：\n\
         快递柜：{locker_name}\n\
         格口：{compartment}\n\n\
         请方便时领取。逾期未取的包裹会由快递员取回并送货上门。\n\
         本邮件由系统自动发送，请勿回复。\n\n\
         Hello,\n\n\
         a parcel is waiting for you:\n\
         Locker: {locker_name}\n\
         Compartment: {compartment}\n\n\
         Please pick it up when it suits you. A parcel that waits too long is collected by its courier and brought \
         to your door.\n\
         This message was sent automatically; replies are not read.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_display_says_where_only_when_told_to() {
        assert_eq!(parcel_waits(), "您有包裹待取 · A parcel is waiting for you");
        assert_eq!(
            parcel_waits_in("东门柜 East"),
            "您有包裹在东门柜 East待取 · A parcel is waiting for you in 东门柜 East"
        );
    }

    #[test]
    fn the_email_says_where_in_both_languages_and_only_inside() {
        assert_eq!(email_subject(), "您有包裹待取 · A parcel is waiting for you");
        assert_eq!(
            email_body("东门柜", "A-07"),
            "您好！\n\n您有一个包裹正在等您领取：\n快递柜：东门柜\n格口：A-07\n\n\
             请方便时领取。逾期未取的包裹会由快递员取回并送货上门。\n本邮件由系统自动发送，请勿回复。\n\n\
             Hello,\n\na parcel is waiting for you:\nLocker: 东门柜\nCompartment: A-07\n\n\
             Please pick it up when it suits you. A parcel that waits too long is collected by its courier and brought \
             to your door.\nThis message was sent automatically; replies are not read.\n"
        );
    }

    #[test]
    fn chinese_comes_first() {
        for sentence in [parcel_waits(), parcel_waits_in("柜"), email_subject(), email_body("柜", "1")] {
            let english = sentence.find(|c: char| c.is_ascii_alphabetic());
            let chinese = sentence.find(|c: char| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(chinese.is_some() && chinese < english, "{sentence}");
        }
    }
}
