//! The book shared between the event stream and the terminals, saved before anything is acknowledged.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use gatepost_proto::courier::stream_instructions_response::Message;
use gatepost_proto::courier::{InstructionWithdrawn, StreamInstructionsResponse};
use tokio::sync::broadcast;

use super::book::{Action, Book, Instruction, RecallId, Routes};

/// How many messages a terminal may be behind before it has to subscribe again.
const BEHIND: usize = 256;

/// Hands out instructions; clones share it.
#[derive(Clone)]
pub struct Dispatch {
    book: Arc<Mutex<Book>>,
    live: broadcast::Sender<(String, StreamInstructionsResponse)>,
    routes: Arc<Routes>,
    saved_at: Option<Arc<PathBuf>>,
}

impl Dispatch {
    /// Reads the book back from `state_file`, if there is one. Without a file a restart forgets what was under way.
    pub fn open(routes: Routes, state_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let book = match &state_file {
            Some(path) if path.exists() => {
                let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("{} is not a state file", path.display()))?
            }
            Some(_) | None => Book::default(),
        };
        Ok(Dispatch {
            book: Arc::new(Mutex::new(book)),
            live: broadcast::channel(BEHIND).0,
            routes: Arc::new(routes),
            saved_at: state_file.map(Arc::new),
        })
    }

    /// The book. The lock is never held while somebody is called.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about an event.
    pub fn decide(&self, event: &gatepost_proto::v1::Event) -> Option<Action> {
        self.book().decide(event, &self.routes)
    }

    /// The platform took our acceptance: the terminal is told, if it does not know already.
    pub fn instruct(&self, recall: &RecallId) {
        let mut book = self.book();
        if let Some((terminal_id, instruction)) = book.accepted(recall) {
            tracing::info!(terminal_id, instruction_id = instruction.instruction_id, "terminal instructed");
            self.tell(&terminal_id, Message::Instruction(instruction.into()));
        }
    }

    /// The terminal is told to stop.
    pub fn withdraw(&self, terminal_id: &str, instruction: Instruction) {
        tracing::info!(terminal_id, instruction_id = instruction.instruction_id, "instruction withdrawn");
        let withdrawn = InstructionWithdrawn {
            instruction_id: instruction.instruction_id,
            tracking_number: instruction.tracking_number,
        };
        self.tell(terminal_id, Message::Withdrawn(withdrawn));
    }

    /// What the terminal has to do, and what it will be told from now on, without a gap between the two.
    pub fn subscribe(
        &self,
        terminal_id: &str,
    ) -> (Vec<Instruction>, broadcast::Receiver<(String, StreamInstructionsResponse)>) {
        let book = self.book();
        (book.open(terminal_id), self.live.subscribe())
    }

    /// Saves the book, so that what is acknowledged next is never forgotten.
    pub fn save(&self) -> anyhow::Result<()> {
        let Some(path) = &self.saved_at else { return Ok(()) };
        // Under the lock: two saves must not share the file beside, nor an older book replace a newer one.
        let book = self.book();
        let text = serde_json::to_vec(&*book)?;
        // Written beside and moved over: a crash leaves the old book or the new one, never half of one.
        let fresh = path.with_extension("new");
        let written = std::fs::File::create(&fresh).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| std::fs::rename(&fresh, path.as_path()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn tell(&self, terminal_id: &str, message: Message) {
        // Nobody listening is no failure: a terminal is told again when it subscribes.
        let _ = self.live.send((terminal_id.to_owned(), StreamInstructionsResponse { message: Some(message) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_at_the_same_time_leave_the_newest_book() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let dispatch = Dispatch::open(Routes::default(), Some(path.clone())).unwrap();
        std::thread::scope(|scope| {
            for sequence in 1..=16 {
                let dispatch = dispatch.clone();
                scope.spawn(move || {
                    dispatch.book().handled_up_to(sequence);
                    dispatch.save().unwrap();
                });
            }
        });
        let again = Dispatch::open(Routes::default(), Some(path)).unwrap();
        assert_eq!(again.book().handled(), 16);
    }

    #[test]
    fn a_file_that_is_no_book_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(Dispatch::open(Routes::default(), Some(path)).is_err());
    }
}
