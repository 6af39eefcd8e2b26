//! A name server that knows one name, on an address of the loopback network where nothing else listens.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The header of a message (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The name is 127.0.0.1, and nothing else exists.
    Good,
    /// No word.
    Silent,
    /// SERVFAIL: the server has trouble of its own.
    Failing,
}

/// A running one; it answers for as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct NameServer {
    /// Where a resolver looks that is pointed at it. Port 53 is fixed by `resolv.conf`.
    pub(crate) address: Ipv4Addr,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicU64>,
}

impl NameServer {
    /// Starts one that knows `name`, on an address that is this process' own.
    pub(crate) fn start(name: &'static str) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let bound = (64..128_u8).find_map(|net| {
            let address = Ipv4Addr::new(127, net, high, low);
            UdpSocket::bind((address, 53)).ok().map(|socket| (address, socket))
        });
        let (address, socket) = bound.expect("port 53 of a loopback address, as root");
        let server = Self { address, mood: Arc::new(Mutex::new(Mood::Good)), asked: Arc::default() };
        let answering = server.clone();
        std::thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                answering.asked.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&message[..length], name, answering.mood()) {
                    socket.send_to(&answer, from).ok();
                }
            }
        });
        server
    }

    /// A command that becomes `program`, which asks this name server and no other, since its `/etc/resolv.conf` is its own.
    /// Needs root.
    pub(crate) fn asked_by(&self, program: &str) -> Command {
        let script = format!(
            "file=$(mktemp) && echo 'nameserver {}' >$file && mount --bind $file /etc/resolv.conf && rm $file && exec \"$0\" \"$@\"",
            self.address
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, program]);
        command
    }

    /// Changes how it answers from now on.
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it has been asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration whose `network.hosts` lead to a name where they lead to an address.
pub(crate) fn by_name(config: &str, address: SocketAddr, name: &str) -> String {
    config.replace(&format!("\": {address}"), &format!("\": {name}:{}", address.port()))
}

fn answer(question: &[u8], name: &str, mood: Mood) -> Option<Vec<u8>> {
    let mut asked = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        asked.push(String::from_utf8(question.get(at..at + length)?.to_vec()).ok()?);
        at += length;
    }
    let known = asked.join(".").eq_ignore_ascii_case(name);
    let is_a = question.get(at..at + 2)? == [0, 1];
    let count = u8::from(known && is_a && mood == Mood::Good);
    // A response with recursion available; 2 is "the server failed", 3 is "no such name".
    let code = match mood {
        Mood::Silent => return None,
        Mood::Failing => 0x82,
        Mood::Good if known => 0x80,
        Mood::Good => 0x83,
    };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..at + 4)?);
    if count == 1 {
        // The name of the question; A, IN; a minute; four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
