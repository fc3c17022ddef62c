//! The tower layer in front of every service: key to principal, permission, span and metrics for each call.

pub mod keys;
pub mod permissions;

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
                match authorise(&platform, &path, request.headers()).await {
                    Ok(principal) => {
                        if let Some(principal) = principal {
                            tracing::Span::current().record("principal", principal.name());
                            request.extensions_mut().insert(principal);
                        }
                        inner.call(request).await
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
async fn authorise(platform: &Platform, path: &str, headers: &http::HeaderMap) -> Result<Option<Principal>, Problem> {
    let Some(allowed) = permissions::callers(path) else {
        return Ok(None);
    };
    let secret = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or(Problem::Unauthenticated("send your key as the metadata authorization: Bearer KEY"))?;
    let principal = keys::principal(platform, secret).await?;
    if !allowed.contains(&permissions::Caller::of(&principal)) {
        return Err(Problem::Forbidden(path.trim_start_matches('/').to_owned()));
    }
    Ok(Some(principal))
}

/// The caller of a request behind the layer.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Principal, Problem> {
    request.extensions().get::<Principal>().cloned().ok_or(Problem::Bug("a call reached a handler without a principal"))
}
