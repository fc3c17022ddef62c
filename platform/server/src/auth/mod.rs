//! The tower layer in front of every service: key to principal, permission, quota, span and metrics for each call.

pub mod grant;
pub mod keys;
pub mod known;
pub mod looks;
pub mod oidc;
pub mod permissions;
pub mod quota;
mod shown;
mod stream;
pub mod uses;

use std::{
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use gatepost_domain::principal::Principal;
use gatepost_process::telemetry;
use opentelemetry::KeyValue;
use tonic::{body::Body, metadata::MetadataMap};
use tower::{Layer, Service};
use tracing::Instrument as _;

use self::{
    grant::Grant,
    looks::Noted,
    permissions::Caller,
    quota::{Exceeded, Leave},
    shown::Shown,
    stream::Guarded,
};
use crate::{api::status, platform::Platform, problem::Problem};

/// Wraps every call.
#[derive(Clone)]
pub struct AuthLayer(pub Platform);

impl<S> Layer<S> for AuthLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { platform: self.0.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub struct Authenticated<S> {
    platform: Platform,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Authenticated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The clone that was polled ready serves this call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let platform = self.platform.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let span = tracing::info_span!("rpc", rpc.method = %path, principal = tracing::field::Empty);
            telemetry::span_parent_from(&span, &MetadataMap::from_headers(request.headers().clone()));
            let started = Instant::now();
            let answer = async {
                let shown = Shown::by(&request);
                let mut look = None;
                let mut answer = match admit(&platform, &path, &shown).await {
                    Ok(None) => inner.call(request).await?,
                    Ok(Some((grant, leave))) => {
                        tracing::Span::current().record("principal", grant.principal.name());
                        if let Some(noted) = Noted::due(&path, &grant.principal) {
                            request.extensions_mut().insert(noted.clone());
                            look = Some((grant.clone(), noted));
                        }
                        request.extensions_mut().insert(grant);
                        let answer = inner.call(request).await?;
                        if permissions::is_stream(&path) {
                            answer.map(|body| Body::new(Guarded::new(body, platform.clone(), shown, leave)))
                        } else {
                            answer
                        }
                    }
                    Err(problem) => status::status(problem).into_http(),
                };
                status::give_reason(answer.headers_mut());
                Ok(match look {
                    Some((grant, noted)) => looks::record(&platform, &grant, &path, &noted, answer).await,
                    None => answer,
                })
            }
            .instrument(span);
            let answer = match tokio::time::timeout(platform.config.listen.answer_within, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(status::status(Problem::TimedOut).into_http()),
            };
            if let Ok(answer) = &answer {
                let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0");
                let labels = [KeyValue::new("rpc", permissions::label(&path)), KeyValue::new("code", code.to_owned())];
                platform.metrics.rpcs.record(started.elapsed().as_secs_f64(), &labels);
            }
            answer
        })
    }
}

/// Who calls, and its leave to, for every rpc but those that anybody may call: first who it is, then whether it may, and
/// then whether it may now. Nothing of the request's body was read by then.
async fn admit(platform: &Platform, path: &str, shown: &Shown) -> Result<Option<(Grant, Leave)>, Problem> {
    let Some(rule) = permissions::rule_of(path) else {
        return Ok(None);
    };
    let fingerprint = shown.fingerprint();
    if let Some((grant, exceeded)) = platform.quotas.turned_away(&fingerprint) {
        rule.check(path, &grant)?;
        return Err(refused(platform, &grant, exceeded));
    }
    let grant = shown.believed(platform).await.inspect_err(|problem| {
        if let Problem::Stranger(stranger) = problem {
            platform.metrics.strangers.add(1, &[KeyValue::new("reason", stranger.label())]);
        }
    })?;
    rule.check(path, &grant)?;
    platform.quotas.spend(&fingerprint, &grant).map_err(|exceeded| refused(platform, &grant, exceeded))?;
    let leave = if permissions::is_stream(path) {
        platform.quotas.stream(&grant.principal)
    } else {
        platform.quotas.turn(&grant.principal).await
    };
    let leave = leave.map_err(|exceeded| refused(platform, &grant, exceeded))?;
    Ok(Some((grant, leave)))
}

fn refused(platform: &Platform, grant: &Grant, exceeded: Exceeded) -> Problem {
    let labels = [
        KeyValue::new("principal", Caller::of(&grant.principal).label()),
        KeyValue::new("quota", exceeded.limit.setting()),
    ];
    platform.metrics.over_quota.add(1, &labels);
    Problem::OverQuota(exceeded)
}

/// The caller of a request behind the layer.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Principal, Problem> {
    Grant::of(request).map(|grant| grant.principal)
}
