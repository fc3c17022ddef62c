//! The tower layer in front of every service: key to principal, permission, span and metrics for each call.

pub mod grant;
pub mod keys;
pub mod known;
pub mod oidc;
pub mod permissions;
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

use self::{grant::Grant, shown::Shown, stream::Guarded};
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
                match authorise(&platform, &path, &shown).await {
                    Ok(None) => inner.call(request).await,
                    Ok(Some(grant)) => {
                        tracing::Span::current().record("principal", grant.principal.name());
                        request.extensions_mut().insert(grant);
                        let answer = inner.call(request).await?;
                        Ok(if permissions::is_stream(&path) {
                            answer.map(|body| Body::new(Guarded::new(body, platform.clone(), shown)))
                        } else {
                            answer
                        })
                    }
                    Err(problem) => Ok(status::status(problem).into_http()),
                }
            }
            .instrument(span)
            .await;
            if let Ok(answer) = &answer {
                let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0");
                let labels = [KeyValue::new("rpc", permissions::label(&path)), KeyValue::new("code", code.to_owned())];
                platform.metrics.rpcs.record(started.elapsed().as_secs_f64(), &labels);
            }
            answer
        })
    }
}

/// Who calls, for every rpc but those that anybody may call.
async fn authorise(platform: &Platform, path: &str, shown: &Shown) -> Result<Option<Grant>, Problem> {
    let Some(rule) = permissions::rule_of(path) else {
        return Ok(None);
    };
    let grant = shown.believed(platform).await.inspect_err(|problem| {
        if let Problem::Stranger(stranger) = problem {
            platform.metrics.strangers.add(1, &[KeyValue::new("reason", stranger.label())]);
        }
    })?;
    rule.check(path, &grant)?;
    Ok(Some(grant))
}

/// The caller of a request behind the layer.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Principal, Problem> {
    Grant::of(request).map(|grant| grant.principal)
}
