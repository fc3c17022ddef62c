//! Administrators with a token of the property's own identity provider.

use gatepost_proto::v1;
use gatepost_server::config::Role;
use gatepost_tests::{
    clients::{Administrator, Answer, Key, Refused, answer, new_request_id},
    identity_provider::{IdentityProvider, SigningKey, signed_with_secret, unsigned},
    world::{COMMUNITY, World, hours, minutes},
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tonic::Code;

/// A world whose administrators may come with a token of `provider`.
async fn world(provider: &IdentityProvider) -> World {
    let role = |name: &str, scopes: &[&str], community: Option<&str>| Role {
        name: name.to_owned(),
        scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        community: community.map(|community| community.parse().unwrap()),
    };
    let roles = vec![
        role("gatepost-chief", &[], None),
        role("gatepost-reader", &["read"], None),
        role("lotus-desk", &["read", "manage"], Some(COMMUNITY)),
        role("rose-desk", &[], Some("rose-court")),
    ];
    let issuer = provider.issuer().to_owned();
    let builder = World::builder().config(|config| {
        config.oidc.issuer = issuer;
        config.oidc.audience = "gatepost".to_owned();
        config.oidc.claim = "realm_access.roles".to_owned();
        config.oidc.roles = roles;
    });
    builder.start().await
}

fn bearer(world: &World, token: &str) -> Administrator {
    Administrator::new(world.line().clone(), Key::new(token))
}

async fn look(world: &World, token: &str) -> Answer<Vec<String>> {
    let communities = bearer(world, token).communities().list_communities(v1::ListCommunitiesRequest::default()).await;
    answer(communities).map(|page| page.communities.into_iter().map(|community| community.id).collect())
}

fn told(refused: Refused) -> (Code, String) {
    (refused.code, refused.reason)
}

fn refused_token(message: &str, answer: Answer<Vec<String>>) {
    let refused = answer.unwrap_err();
    assert!(refused.message.contains(message), "{} instead of {message}", refused.message);
    assert_eq!(told(refused), (Code::Unauthenticated, "TOKEN_REFUSED".to_owned()));
}

#[tokio::test]
async fn a_token_opens_what_its_roles_say() {
    let provider = IdentityProvider::start().await;
    let (curve, edwards) = (SigningKey::es256("2026-a"), SigningKey::eddsa("2026-b"));
    provider.publish(&[&curve, &edwards]);
    let world = world(&provider).await;
    let claims = |roles: &[&str]| provider.claims(world.now(), roles);
    assert_eq!(look(&world, &curve.sign(&claims(&["gatepost-reader"]))).await.unwrap(), [COMMUNITY]);
    assert_eq!(look(&world, &edwards.sign(&claims(&["lotus-desk", "cook"]))).await.unwrap(), [COMMUNITY]);
    assert!(look(&world, &edwards.sign(&claims(&["rose-desk"]))).await.unwrap().is_empty());

    let reader = bearer(&world, &curve.sign(&claims(&["gatepost-reader"])));
    let refused = reader.add_courier("swift-express").await.unwrap_err();
    assert_eq!(told(refused), (Code::PermissionDenied, "SCOPE_MISSING".to_owned()));
    bearer(&world, &curve.sign(&claims(&["gatepost-chief"]))).add_courier("swift-express").await.unwrap();
    let nobody = look(&world, &curve.sign(&claims(&["cook"]))).await.unwrap_err();
    assert_eq!(told(nobody), (Code::PermissionDenied, "ROLE_MISSING".to_owned()));
    let torn = look(&world, &curve.sign(&claims(&["lotus-desk", "rose-desk"]))).await.unwrap_err();
    assert!(torn.message.contains("several communities"), "{}", torn.message);

    // A token is an administrator's, whatever it says; and a key is as good as before.
    let request = v1::ListParcelsRequest::default();
    let line = world.line().authorised(&Key::new(&curve.sign(&claims(&["gatepost-chief"]))));
    let parcels = v1::parcel_service_client::ParcelServiceClient::new(line).list_parcels(request).await;
    assert_eq!(answer(parcels).unwrap_err().code, Code::PermissionDenied);
    assert!(world.courier("cloud-way").await.list(0, "").await.is_ok());
    assert_eq!(provider.fetches(), 1, "one fetch is for many tokens");
}

/// The claims with one of them changed or, by null, left out.
fn with(claims: &Value, claim: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    claims
}

#[tokio::test]
async fn what_the_issuer_did_not_say_is_refused() {
    let provider = IdentityProvider::start().await;
    let (key, forger) = (SigningKey::es256("2026-a"), SigningKey::es256("2026-a"));
    provider.publish(&[&key]);
    provider.publish_too(json!({"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}));
    provider.publish_too(json!({"kty": "EC", "crv": "secp256k1", "kid": "unknown", "x": "AA", "y": "AA"}));
    let world = world(&provider).await;
    let claims = provider.claims(world.now(), &["gatepost-chief"]);
    let now = world.now().as_second();
    look(&world, &key.sign(&claims)).await.unwrap();

    let changed = async |claim, value| look(&world, &key.sign(&with(&claims, claim, value))).await;
    refused_token("another audience", changed("aud", json!("another")).await);
    refused_token("lacks", changed("aud", Value::Null).await);
    refused_token("another issuer", changed("iss", json!("http://127.0.0.1/realms/other")).await);
    refused_token("lacks", changed("iss", Value::Null).await);
    refused_token("lacks", changed("sub", Value::Null).await);
    refused_token("", changed("exp", Value::Null).await);
    refused_token("", changed("exp", json!("tomorrow")).await);
    refused_token("not valid yet", changed("nbf", json!(now + 61)).await);
    refused_token("not valid yet", changed("iat", json!(now + 61)).await);
    changed("nbf", json!(now + 60)).await.unwrap();
    let expired = changed("exp", json!(now - 60)).await.unwrap_err();
    assert_eq!(told(expired), (Code::Unauthenticated, "TOKEN_EXPIRED".to_owned()));
    changed("exp", json!(now - 59)).await.unwrap();

    refused_token("signature", look(&world, &forger.sign(&claims)).await);
    let tampered = key.sign(&with(&claims, "realm_access", json!({"roles": ["cook"]})));
    let (_, signature) = tampered.rsplit_once('.').unwrap();
    let (signed, _) = key.sign(&claims).rsplit_once('.').map(|(signed, rest)| (signed.to_owned(), rest.len())).unwrap();
    refused_token("signature", look(&world, &format!("{signed}.{signature}")).await);
    refused_token("algorithm", look(&world, &unsigned("2026-a", &claims)).await);
    refused_token("algorithm", look(&world, &signed_with_secret("shared", b"secret", &claims)).await);
    let public = key.public().to_string();
    refused_token("algorithm", look(&world, &signed_with_secret("2026-a", public.as_bytes(), &claims)).await);
    refused_token("algorithm", look(&world, &key.sign_as(&json!({"alg": "EdDSA", "kid": "2026-a"}), &claims)).await);
    refused_token("kid", look(&world, &key.sign_as(&json!({"alg": "ES256"}), &claims)).await);
    let critical = json!({"alg": "ES256", "kid": "2026-a", "crit": ["b64"], "b64": false});
    refused_token("critical", look(&world, &key.sign_as(&critical, &claims)).await);
    for malformed in ["a.b.c", "..", "eyJhbGciOiJFUzI1NiJ9", "token"] {
        refused_token("", look(&world, malformed).await);
    }
}

#[tokio::test]
async fn the_issuers_keys_change_without_a_restart() {
    let provider = IdentityProvider::start().await;
    let (old, new) = (SigningKey::es256("old"), SigningKey::eddsa("new"));
    provider.publish(&[&old]);
    let world = world(&provider).await;
    let token = |key: &SigningKey| key.sign(&provider.claims(world.now(), &["gatepost-reader"]));
    look(&world, &token(&old)).await.unwrap();

    provider.publish(&[&old, &new]);
    refused_token("not one that the issuer publishes", look(&world, &token(&new)).await);
    assert_eq!(provider.fetches(), 1, "half a minute has not passed");
    world.let_pass(SignedDuration::from_secs(30)).await;
    look(&world, &token(&new)).await.unwrap();
    for n in 0..50 {
        let stranger = SigningKey::es256(&format!("made up {n}"));
        refused_token("not one that the issuer publishes", look(&world, &token(&stranger)).await);
    }
    assert_eq!(provider.fetches(), 2, "made-up keys do not make us ask again and again");

    provider.publish(&[&new]);
    look(&world, &token(&old)).await.unwrap();
    world.let_pass(hours(1)).await;
    refused_token("not one that the issuer publishes", look(&world, &token(&old)).await);
    look(&world, &token(&new)).await.unwrap();
    assert_eq!(provider.fetches(), 3, "an hour is the most that keys are kept");
}

#[tokio::test]
async fn a_pause_of_the_issuer_shuts_nobody_out() {
    let provider = IdentityProvider::start().await;
    let key = SigningKey::es256("2026-a");
    provider.publish(&[&key]);
    provider.set_away(true);
    let world = world(&provider).await;
    let token = || key.sign(&provider.claims(world.now(), &["gatepost-reader"]));
    let away = (Code::Unavailable, "IDENTITY_PROVIDER_UNAVAILABLE".to_owned());
    assert_eq!(told(look(&world, &token()).await.unwrap_err()), away);
    provider.set_away(false);
    world.let_pass(minutes(1)).await;
    look(&world, &token()).await.unwrap();

    provider.set_away(true);
    world.let_pass(hours(2)).await;
    look(&world, &token()).await.unwrap();
    world.let_pass(hours(22)).await;
    assert_eq!(told(look(&world, &token()).await.unwrap_err()), away, "a day is long enough");
    let request = v1::CreateCourierRequest { request_id: new_request_id(), ..Default::default() };
    let refused = answer(world.administrator().couriers().create_courier(request).await).unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument, "keys need no identity provider");

    provider.set_away(false);
    provider.pretend("http://127.0.0.1/realms/other");
    world.let_pass(minutes(1)).await;
    assert_eq!(told(look(&world, &token()).await.unwrap_err()), away, "another issuer's keys are not taken");
}

#[tokio::test]
async fn without_an_issuer_a_token_is_an_unknown_key() {
    let world = World::new().await;
    let key = SigningKey::es256("2026-a");
    let refused = look(&world, &key.sign(&json!({"iss": "anybody"}))).await.unwrap_err();
    assert_eq!(told(refused), (Code::Unauthenticated, "UNAUTHENTICATED".to_owned()));
}
