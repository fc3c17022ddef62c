//! The replicas of one platform, found by a name whose addresses they are, such as a headless service of Kubernetes has.
//! They come and go; a worker works for all that are there.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::PLATFORMS_MAX;
use crate::session::SessionError;

/// How often the name is asked for its addresses. A replica that leaves says so itself; one that comes is found so soon.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Looks the name up.
#[tonic::async_trait]
pub trait Addresses: Send + Sync {
    /// The addresses that it has now.
    async fn now(&self) -> std::io::Result<Vec<SocketAddr>>;
}

/// A name and a port, asked of the system's resolver.
pub struct Name(pub String);

#[tonic::async_trait]
impl Addresses for Name {
    async fn now(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(&self.0).await?.collect())
    }
}

/// Works for every address that there is until `leaving`, 16 at most: `work` does so for one of them until its token is
/// cancelled. An error of one ends all.
pub async fn work_for_all<W>(
    addresses: Arc<dyn Addresses>,
    leaving: &CancellationToken,
    work: impl Fn(SocketAddr, CancellationToken) -> W,
) -> Result<(), SessionError>
where
    W: Future<Output = Result<(), SessionError>> + Send + 'static,
{
    let mut at_work: HashMap<SocketAddr, CancellationToken> = HashMap::new();
    let mut sessions = JoinSet::new();
    let mut again = tokio::time::interval(ASK_AGAIN);
    let mut outcome = Ok(());
    while outcome.is_ok() && !leaving.is_cancelled() {
        tokio::select! {
            () = leaving.cancelled() => {}
            Some(ended) = sessions.join_next() => {
                let (address, ended) = ended.map_err(|error| SessionError::Config(error.to_string()))?;
                at_work.remove(&address);
                outcome = ended;
            }
            _ = again.tick() => match addresses.now().await {
                Ok(found) => {
                    let found: BTreeSet<SocketAddr> = found.into_iter().take(PLATFORMS_MAX).collect();
                    // One that is gone, by what the name says, is left politely; a failed look-up tells nothing.
                    at_work.iter().filter(|(address, _)| !found.contains(address)).for_each(|(_, gone)| gone.cancel());
                    for address in found {
                        if let Entry::Vacant(place) = at_work.entry(address) {
                            let session = work(address, place.insert(leaving.child_token()).clone());
                            sessions.spawn(async move { (address, session.await) });
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the replicas cannot be looked up"),
            },
        }
    }
    at_work.values().for_each(CancellationToken::cancel);
    while let Some(ended) = sessions.join_next().await {
        outcome =
            outcome.and(ended.map_or_else(|error| Err(SessionError::Config(error.to_string())), |(_, ended)| ended));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    struct Scripted(Mutex<Vec<&'static str>>);

    #[tonic::async_trait]
    impl Addresses for Scripted {
        async fn now(&self) -> std::io::Result<Vec<SocketAddr>> {
            let mut script = self.0.lock().unwrap();
            let line = if script.len() > 1 { script.remove(0) } else { script[0] };
            match line {
                "" => Err(std::io::Error::other("no answer")),
                line => Ok(line.split(' ').map(|address| address.parse().unwrap()).collect()),
            }
        }
    }

    /// Time stands still but for what waits, so that asking again takes none.
    #[tokio::test(start_paused = true)]
    async fn whoever_comes_is_worked_for_and_whoever_goes_is_left() {
        let script = vec!["10.0.0.1:1 10.0.0.2:1", "", "10.0.0.2:1 10.0.0.3:1"];
        let (said, mut heard) = mpsc::unbounded_channel();
        let leaving = CancellationToken::new();
        let token = leaving.clone();
        let working = tokio::spawn(async move {
            work_for_all(Arc::new(Scripted(Mutex::new(script))), &token, |address, leaving| {
                let said = said.clone();
                async move {
                    said.send(format!("+{address}")).unwrap();
                    leaving.cancelled().await;
                    said.send(format!("-{address}")).unwrap();
                    Ok(())
                }
            })
            .await
        });
        let mut words = Vec::new();
        for _ in 0..4 {
            words.push(heard.recv().await.unwrap());
        }
        words[..2].sort();
        words[2..].sort();
        assert_eq!(words, ["+10.0.0.1:1", "+10.0.0.2:1", "+10.0.0.3:1", "-10.0.0.1:1"]);
        leaving.cancel();
        working.await.unwrap().unwrap();
        let mut last = [heard.recv().await.unwrap(), heard.recv().await.unwrap()];
        last.sort();
        assert_eq!(last, ["-10.0.0.2:1", "-10.0.0.3:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_replica_refuses_ends_the_work_for_all() {
        let script = Scripted(Mutex::new(vec!["10.0.0.1:1 10.0.0.2:1"]));
        let leaving = CancellationToken::new();
        let outcome = work_for_all(Arc::new(script), &leaving, |address, leaving| async move {
            if address.ip().to_string().ends_with('2') {
                return Err(SessionError::Broken);
            }
            leaving.cancelled().await;
            Ok(())
        });
        assert!(matches!(outcome.await, Err(SessionError::Broken)));
    }
}
