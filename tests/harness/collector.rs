//! An operator's OTLP receiver: takes the spans of every process that is told of it.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::world::soon;

/// A span, and which program recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// `service.name` of its process.
    pub service: String,
    /// As it was sent.
    pub span: Span,
}

impl Recorded {
    /// One of its attributes that is a text.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        text(&self.span.attributes, key)
    }
}

/// A listening receiver; it ends when it is dropped.
pub struct Collector {
    endpoint: String,
    spans: watch::Sender<Vec<Recorded>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Collector {
        let spans = watch::Sender::new(Vec::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let router = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Desk(spans.clone())));
        let serve = router.serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serve.await.expect("the receiver serves") });
        Collector { endpoint, spans, task }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The first span that is like this, which may be still to come.
    pub async fn span(&self, what: &str, is_it: impl Fn(&Recorded) -> bool) -> Recorded {
        let mut spans = self.spans.subscribe();
        let arrived = soon(what, spans.wait_for(|spans| spans.iter().any(&is_it))).await.expect("it goes on listening");
        arrived.iter().find(|span| is_it(span)).cloned().expect("just found")
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Recorded> {
        self.spans.borrow().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Desk(watch::Sender<Vec<Recorded>>);

#[tonic::async_trait]
impl TraceService for Desk {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut arrived = Vec::new();
        for process in request.into_inner().resource_spans {
            let attributes = process.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = text(&attributes, "service.name").unwrap_or_default().to_owned();
            let spans = process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            arrived.extend(spans.map(|span| Recorded { service: service.clone(), span }));
        }
        self.0.send_modify(|spans| spans.extend(arrived));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
