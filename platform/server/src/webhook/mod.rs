//! Signed calls to the web servers of others, by Standard Webhooks 1.0. What is called when, and what an answer means,
//! is for those who call: reminders in `notification/webhook.rs`, couriers' events in `courier_webhooks`.

mod call;
mod guard;
mod signing;

pub use self::{
    call::{Answered, Call, Caller, Reach},
    guard::is_public,
    signing::SigningKey,
};
