//! HTTP/2 by hand: what a client library would not send.

use std::{net::SocketAddr, time::Duration};

use gatepost_tests::{clients::Key, world::BOUND};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::TcpStream,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The opening of a client that has streams begin with a window of so many bytes.
pub fn opening(window: u32) -> Vec<u8> {
    let setting = [&4u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
    [PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat()
}

/// A block of headers that calls an rpc, and no more.
pub fn headers(path: &str, key: Option<&Key>) -> Vec<u8> {
    let bearer = key.map(|key| format!("Bearer {}", key.secret())).unwrap_or_default();
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gatepost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &bearer),
    ] {
        if !value.is_empty() {
            header(&mut block, name, value);
        }
    }
    block
}

/// Adds a header to a block.
pub fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

/// A literal of HPACK, without Huffman's code.
fn text(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(rest as u8 | 128);
            rest >>= 7;
        }
        block.push(rest as u8);
    }
    block.extend(text.as_bytes());
}

/// A gRPC message in the frame that carries it.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A connection.
pub struct Raw {
    reads: ReadHalf<TcpStream>,
    writes: WriteHalf<TcpStream>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let (reads, writes) = split(stream);
        Raw { reads, writes }
    }

    /// Sends bytes. False when the other side is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.writes.write_all(bytes).await.is_ok()
    }

    /// Waits until the other side closes, and does not answer it.
    pub async fn is_closed(&mut self) -> bool {
        self.is_closed_within(BOUND).await
    }

    pub async fn is_closed_within(&mut self, bound: Duration) -> bool {
        let closed = async {
            let mut bytes = [0; 4096];
            while self.reads.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        };
        tokio::time::timeout(bound, closed).await.is_ok()
    }

    /// Sends one byte after the other, each when the other side had the time to look at the one before. False when it
    /// has enough.
    pub async fn trickle(&mut self, bytes: &[u8], between: Duration) -> bool {
        let mut beat = tokio::time::interval(between);
        for byte in bytes {
            beat.tick().await;
            if !self.send(&[*byte]).await {
                return false;
            }
        }
        true
    }

    /// Reads frames, and says that it is there, until there is one that `wanted` wants; `None` at the end.
    pub async fn next(&mut self, wanted: impl Fn(u8, u32) -> bool) -> Option<(u8, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            self.reads.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            self.reads.read_exact(&mut payload).await.ok()?;
            match (head[3], head[4] & ACK) {
                (PING, 0) => {
                    self.send(&frame(PING, ACK, 0, &payload)).await;
                }
                (SETTINGS, 0) => {
                    self.send(&frame(SETTINGS, ACK, 0, &[])).await;
                }
                _ => {}
            }
            if wanted(head[3], stream) {
                return Some((head[3], payload));
            }
        }
    }
}
