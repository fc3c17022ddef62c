//! Every event and every report twice: nothing is done twice.

use super::*;

fn routes() -> Routes {
    let by_building = BTreeMap::from([("2号楼".to_owned(), "terminal-2".to_owned())]);
    Routes { by_building, otherwise: "terminal-1".to_owned() }
}

fn event(sequence: i64, kind: EventKind) -> Event {
    Event {
        sequence,
        kind: kind.into(),
        parcel_id: "pcl_1".to_owned(),
        tracking_number: "SF-1".to_owned(),
        recall_number: 1,
        building: "2号楼".to_owned(),
        ..Event::default()
    }
}

fn at() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

/// A book whose first recall was accepted, and the instruction it gave.
fn instructed() -> (Book, Instruction) {
    let mut book = Book::default();
    let Some(Action::Accept { recall, .. }) = book.decide(&event(1, EventKind::RecallRequested), &routes()) else {
        panic!("the recall is accepted");
    };
    let (terminal_id, instruction) = book.accepted(&recall).unwrap();
    assert_eq!(terminal_id, "terminal-2");
    book.handled_up_to(1);
    (book, instruction)
}

#[test]
fn an_event_that_was_handled_asks_for_nothing() {
    let (mut book, _) = instructed();
    assert_eq!(book.decide(&event(1, EventKind::RecallRequested), &routes()), None);
    assert_eq!(book.handled(), 1);
}

#[test]
fn a_recall_whose_acceptance_got_lost_is_accepted_again_under_the_same_request_id() {
    let mut book = Book::default();
    let first = book.decide(&event(1, EventKind::RecallRequested), &routes());
    let again = book.decide(&event(1, EventKind::RecallRequested), &routes());
    assert!(first.is_some());
    assert_eq!(first, again);
}

#[test]
fn a_repeat_after_the_instruction_but_before_the_acknowledgement_instructs_nobody_again() {
    let mut book = Book::default();
    let Some(Action::Accept { recall, .. }) = book.decide(&event(1, EventKind::RecallRequested), &routes()) else {
        panic!("the recall is accepted");
    };
    assert!(book.accepted(&recall).is_some());
    assert_eq!(book.decide(&event(1, EventKind::RecallRequested), &routes()), None);
    assert_eq!(book.accepted(&recall), None);
    assert_eq!(book.open("terminal-2").len(), 1);
}

#[test]
fn a_withdrawal_stops_the_terminal_once() {
    let (mut book, instruction) = instructed();
    let stop = book.decide(&event(2, EventKind::PickedUp), &routes());
    assert_eq!(stop, Some(Action::Withdraw { terminal_id: "terminal-2".to_owned(), instruction: instruction.clone() }));
    assert_eq!(book.decide(&event(3, EventKind::RecallWithdrawn), &routes()), None);
    assert!(book.open("terminal-2").is_empty());
    let late = book.report(&instruction.instruction_id, TerminalOutcome::Collected, at());
    assert_eq!(late, Err(ReportRefusal::Closed));
}

#[test]
fn a_recall_that_could_not_be_accepted_instructs_nobody() {
    let mut book = Book::default();
    let Some(Action::Accept { recall, .. }) = book.decide(&event(1, EventKind::RecallRequested), &routes()) else {
        panic!("the recall is accepted");
    };
    book.not_accepted(&recall);
    assert_eq!(book.decide(&event(2, EventKind::RecallWithdrawn), &routes()), None);
    assert_eq!(book.accepted(&recall), None);
    assert!(book.open("terminal-2").is_empty());
}

#[test]
fn a_report_is_passed_on_once() {
    let (mut book, instruction) = instructed();
    let id = instruction.instruction_id.as_str();
    let first = book.report(id, TerminalOutcome::Collected, at()).unwrap().unwrap();
    let later = at() + jiff::SignedDuration::from_secs(5);
    let again = book.report(id, TerminalOutcome::Collected, later).unwrap().unwrap();
    assert_eq!(first, again, "an answer that got lost is asked for again with the same body");
    book.report_arrived(id, TerminalOutcome::Collected);
    assert_eq!(book.report(id, TerminalOutcome::Collected, later), Ok(None));
    assert_eq!(book.open("terminal-2").len(), 1, "a terminal that forgot what it carries is told again");
    book.report(id, TerminalOutcome::Delivered, later).unwrap().unwrap();
    book.report_arrived(id, TerminalOutcome::Delivered);
    assert_eq!(book.report(id, TerminalOutcome::Delivered, later), Ok(None));
    assert!(book.open("terminal-2").is_empty());
}

#[test]
fn nobody_reports_on_what_was_never_instructed() {
    let mut book = Book::default();
    assert_eq!(book.report("nothing", TerminalOutcome::Delivered, at()), Err(ReportRefusal::Unknown));
}

#[test]
fn a_second_recall_is_another_one() {
    let (mut book, _) = instructed();
    book.decide(&event(2, EventKind::RecallWithdrawn), &routes());
    let second = Event { recall_number: 2, ..event(3, EventKind::RecallRequested) };
    assert!(matches!(book.decide(&second, &routes()), Some(Action::Accept { recall, .. }) if recall.number == 2));
}

#[test]
fn a_book_survives_being_saved() {
    let (book, instruction) = instructed();
    let saved = serde_json::to_string(&book).unwrap();
    let mut book: Book = serde_json::from_str(&saved).unwrap();
    assert_eq!(book.open("terminal-2"), [instruction]);
    assert_eq!(book.decide(&event(1, EventKind::RecallRequested), &routes()), None);
}
