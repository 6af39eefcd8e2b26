//! A name server that knows one name, on an address of the loopback network where nothing else listens.

use std::net::{Ipv4Addr, UdpSocket};

/// Where a resolver looks that is pointed at it. Port 53 is fixed by `resolv.conf`.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 86, 53, 53);

/// The header of a message (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// Answers for as long as the process lives: `name` is 127.0.0.1, and nothing else exists.
pub(super) fn serve(name: &'static str) {
    let socket = UdpSocket::bind((ADDRESS, 53)).expect("port 53 of a loopback address, as root");
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            if let Some(answer) = answer(&message[..length], name) {
                socket.send_to(&answer, from).ok();
            }
        }
    });
}

fn answer(question: &[u8], name: &str) -> Option<Vec<u8>> {
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
    let count = u8::from(known && is_a);
    let mut answer = question.get(..2)?.to_vec();
    // A response with recursion available; 3 is "no such name".
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..at + 4)?);
    if count == 1 {
        // The name of the question; A, IN; a minute; four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
