//! `courier-sim webhooks`, the receiver to try webhooks with: what it prints was verified, and a run that was killed is
//! gone on with.

use gatepost_proto::v1::{ListWebhookEndpointsRequest, WebhookEndpoint};
use gatepost_tests::{
    clients::{Courier, Label, answer},
    live::{Live, quick_policy},
    processes::Process,
};

async fn endpoints(courier: &Courier) -> Vec<WebhookEndpoint> {
    let listed = courier.webhooks().list_webhook_endpoints(ListWebhookEndpointsRequest {}).await;
    answer(listed).unwrap().endpoints
}

#[tokio::test]
async fn the_receiver_to_try_webhooks_with_misses_nothing() {
    let live = Live::serve(&[
        ("GATEPOST_EVENTS__WEBHOOKS_OVER_HTTP", "true"),
        ("GATEPOST_EVENTS__WEBHOOKS_TO_PRIVATE_ADDRESSES", "true"),
    ])
    .await;
    live.community(quick_policy(600_000, 1_200_000)).await;
    let (courier, wang) = (live.courier("swift-express").await, live.resident("王芳", "13800010001", "").await);
    let key_file = live.data_dir().join("swift-express.key");
    std::fs::write(&key_file, courier.key().secret()).unwrap();
    let (platform, key_file) = (live.url(), key_file.display().to_string());
    let start = |listen: &str| {
        let arguments = ["webhooks", "--platform", &platform, "--key-file", &key_file, "--listen", listen];
        Process::start("courier-sim", &arguments, &[])
    };

    let mut receiver = start("127.0.0.1:0");
    receiver.says("Ctrl-C").await.expect("it listens");
    let [endpoint] = &endpoints(&courier).await[..] else { panic!("one endpoint") };
    assert!(courier.test_endpoint(&endpoint.id).await.unwrap().delivered);
    receiver.says("webhook.test").await.unwrap();
    let parcel = courier.bring(&Label::to(&wang)).await;
    let printed = receiver.says("parcel.deposited").await.unwrap();
    assert!(printed.contains(&parcel.tracking_number), "{printed}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unsigned = reqwest::Client::new().post(&endpoint.url).body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), 401);

    receiver.kill().await;
    courier.pick_up(&parcel.id).await.unwrap();
    courier.endpoint_when("a failure", &endpoint.id, |endpoint| endpoint.retrying == 1).await;
    let listened = endpoint.url.trim_start_matches("http://").trim_end_matches("/events");
    let mut receiver = start(listened);
    receiver.says("parcel.picked_up").await.expect("it is told what happened meanwhile");
    assert_eq!(endpoints(&courier).await.len(), 1, "the same endpoint");
    receiver.terminate().await;
    let ended = receiver.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(endpoints(&courier).await.is_empty());
}
