//! Reminders by e-mail over SMTP.

use std::time::{Duration, UNIX_EPOCH};

use gatepost_domain::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    outgoing::{ChannelError, DeliveryError, Outgoing},
    wording,
};

/// How long the server may take over one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take over all of them: less than the lease of an attempt.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The server turns away the sender, not the message: wrong or missing credentials, which somebody can put right.
const ABOUT_CREDENTIALS: [u16; 4] = [530, 534, 535, 538];

/// The way through a mail server.
pub struct EmailChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl EmailChannel {
    /// Checks the settings. `smtp://` is plain text unless its address says `?tls=required` or
    /// `?tls=opportunistic`; `smtps://` is TLS from the first byte.
    pub fn new(url: &SecretString, from: &str) -> Result<Self, ChannelError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| ChannelError::SmtpUrl)?
            .timeout(Some(COMMAND_TIMEOUT))
            .build();
        let from = from.parse().map_err(|_| ChannelError::SmtpFrom)?;
        Ok(Self { transport, from })
    }

    /// One attempt. Every attempt of one notice has the same `Message-ID`.
    pub async fn deliver(&self, to: &str, notice: &Outgoing, now: Timestamp) -> Result<(), DeliveryError> {
        let to: Address =
            to.parse().map_err(|_| DeliveryError::Final("the resident's address is no e-mail address".into()))?;
        let message = self.message(to, notice, now)?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(DeliveryError::again("the mail server took more than 30 s")),
        }
    }

    fn message(&self, to: Address, notice: &Outgoing, now: Timestamp) -> Result<Message, DeliveryError> {
        let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
        Message::builder()
            .message_id(Some(format!("<{}@{}>", notice.notice, self.from.email.domain())))
            .date(UNIX_EPOCH + since_epoch)
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(wording::email_subject())
            // Keeps holiday notes and the like from answering.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()))
            .header(ContentType::TEXT_PLAIN)
            .body(wording::email_body(&notice.locker_name, notice.compartment.as_str()))
            .map_err(|_| DeliveryError::Final("the message could not be put together".into()))
    }
}

/// The error itself repeats what the server said, which may name the address: only its code is told.
fn judge(error: &smtp::Error) -> DeliveryError {
    let Some(code) = error.status() else {
        return DeliveryError::again(if error.is_timeout() {
            "the mail server gave no answer within 10 s"
        } else if error.is_tls() {
            "no TLS with the mail server"
        } else {
            "the mail server cannot be reached or does not speak SMTP"
        });
    };
    let text = format!("the mail server answered {code}");
    let about_credentials = ABOUT_CREDENTIALS.contains(&u16::from(code));
    if error.is_permanent() && !about_credentials { DeliveryError::Final(text) } else { DeliveryError::again(text) }
}

#[cfg(test)]
mod tests {
    use gatepost_domain::{
        ReminderCause,
        id::{NoticeId, ParcelId, ResidentId},
    };
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
        task::JoinHandle,
    };
    use uuid::Uuid;

    use super::*;

    const FROM: &str = "莲花苑 <parcels@example.org>";

    fn notice() -> Outgoing {
        Outgoing {
            notice: NoticeId(Uuid::from_u128(1)),
            parcel: ParcelId(Uuid::from_u128(2)),
            resident: ResidentId(Uuid::from_u128(3)),
            person_reference: "p-17".into(),
            community: "lotus-garden".parse().unwrap(),
            cause: ReminderCause::UsualHour,
            locker: "L1".parse().unwrap(),
            locker_name: "东门柜".into(),
            compartment: "A-07".parse().unwrap(),
        }
    }

    fn now() -> Timestamp {
        "2026-06-01T10:30:00Z".parse().unwrap()
    }

    /// A mail server for one connection. It answers `verb` with `answer` and everything else as it should, and gives
    /// back all it was sent.
    async fn mail_server(verb: &'static str, answer: &'static str) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let talk = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let mut heard = Vec::new();
            let mut in_message = false;
            writer.write_all(b"220 ready\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                in_message &= line != ".";
                let said = if in_message {
                    None
                } else if !verb.is_empty() && line.starts_with(verb) {
                    Some(answer)
                } else if line == "DATA" {
                    in_message = true;
                    Some("354 go on")
                } else {
                    Some(if line.starts_with("QUIT") { "221 bye" } else { "250 fine" })
                };
                heard.push(line);
                // A client that had enough may be gone before it hears the last answer.
                if let Some(said) = said
                    && writer.write_all(format!("{said}\r\n").as_bytes()).await.is_err()
                {
                    break;
                }
            }
            heard
        };
        (url, tokio::spawn(talk))
    }

    async fn deliver(url: &str, to: &str) -> Result<(), DeliveryError> {
        EmailChannel::new(&url.into(), FROM).unwrap().deliver(to, &notice(), now()).await
    }

    #[tokio::test]
    async fn a_message_says_where_the_parcel_is_and_is_known_again_by_its_id() {
        let (url, server) = mail_server("", "").await;
        deliver(&url, "fang@example.net").await.unwrap();
        let heard = server.await.unwrap();
        assert!(heard.iter().any(|line| line == "MAIL FROM:<parcels@example.org>"), "{heard:#?}");
        assert!(heard.iter().any(|line| line == "RCPT TO:<fang@example.net>"), "{heard:#?}");
        for header in [
            "Message-ID: <ntc_00000000000000000000000000000001@example.org>",
            "Date: Mon, 01 Jun 2026 10:30:00 +0000",
            "Auto-Submitted: auto-generated",
            "To: fang@example.net",
        ] {
            assert!(heard.iter().any(|line| line == header), "{header} is not in {heard:#?}");
        }
        let text = decoded(&heard);
        let expected = wording::email_body("东门柜", "A-07");
        assert_eq!(text.replace("\r\n", "\n").trim_end(), expected.trim_end());
    }

    /// The text of a message sent in base64, as a text with more Chinese than ASCII is.
    fn decoded(heard: &[String]) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        assert!(heard.iter().any(|line| line == "Content-Transfer-Encoding: base64"), "{heard:#?}");
        let from = heard.iter().position(String::is_empty).unwrap() + 1;
        let to = heard.iter().position(|line| line == ".").unwrap();
        String::from_utf8(STANDARD.decode(heard[from..to].concat()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_final_and_a_passing_trouble_is_not() {
        let cases = [
            (
                "RCPT",
                "550 no such mailbox fang@example.net",
                DeliveryError::Final("the mail server answered 550".into()),
            ),
            ("RCPT", "450 greylisted", DeliveryError::again("the mail server answered 450")),
            ("MAIL", "530 log in first", DeliveryError::again("the mail server answered 530")),
            ("DATA", "554 no", DeliveryError::Final("the mail server answered 554".into())),
            (".", "452 disk full", DeliveryError::again("the mail server answered 452")),
            ("EHLO", "421 busy", DeliveryError::again("the mail server answered 421")),
        ];
        for (verb, answer, expected) in cases {
            let (url, server) = mail_server(verb, answer).await;
            assert_eq!(deliver(&url, "fang@example.net").await, Err(expected), "{verb} {answer}");
            server.await.unwrap();
        }
    }

    #[tokio::test]
    async fn starttls_that_is_required_and_not_offered_sends_nothing() {
        let (url, server) = mail_server("", "").await;
        let outcome = deliver(&format!("{url}?tls=required"), "fang@example.net").await;
        assert!(matches!(outcome, Err(DeliveryError::Again { .. })), "{outcome:?}");
        let heard = server.await.unwrap();
        assert!(!heard.iter().any(|line| line.starts_with("MAIL")), "{heard:#?}");
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        drop(listener);
        let outcome = deliver(&url, "fang@example.net").await;
        assert_eq!(outcome, Err(DeliveryError::again("the mail server cannot be reached or does not speak SMTP")));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_final_and_never_told() {
        let outcome = deliver("smtp://127.0.0.1:1", "Fang\r\nBcc: all@example.net").await;
        assert_eq!(outcome, Err(DeliveryError::Final("the resident's address is no e-mail address".into())));
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_refused() {
        let refused = |url: &str, from: &str| EmailChannel::new(&url.into(), from).err();
        assert_eq!(refused("http://example.org", FROM), Some(ChannelError::SmtpUrl));
        assert_eq!(refused("smtp://example.org?tls=maybe", FROM), Some(ChannelError::SmtpUrl));
        assert_eq!(refused("smtps://example.org", "nobody"), Some(ChannelError::SmtpFrom));
        assert_eq!(refused("smtps://a:b@example.org:465", FROM), None);
    }
}
