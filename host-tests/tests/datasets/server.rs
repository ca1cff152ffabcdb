//! A web server on loopback that answers as it is told, also wrongly.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is sent to a client, byte for byte; then the connection is closed.
#[derive(Clone, Default)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// Whether the connection stays open after the last byte, as long as the server runs.
    pub stalls: bool,
    /// Whether the bytes come one by one, 20 ms apart.
    pub trickles: bool,
}

impl Answer {
    /// A status line, headers and a body; nothing is added.
    pub fn new(status: &str, headers: &[String], body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{}\r\n", lines(headers));
        Self {
            bytes: [head.as_bytes(), body].concat(),
            ..Self::default()
        }
    }

    /// The whole body, with its length.
    pub fn whole(body: &[u8]) -> Self {
        Self::new("200 OK", &[length(body.len())], body)
    }

    /// What follows on `start`, as a server does that understands `Range`.
    pub fn rest(body: &[u8], start: usize) -> Self {
        let range = format!(
            "Content-Range: bytes {start}-{}/{}",
            body.len() - 1,
            body.len()
        );
        let headers = [length(body.len() - start), range];
        Self::new("206 Partial Content", &headers, &body[start..])
    }

    /// The same without its last bytes.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self
    }
}

pub fn length(length: usize) -> String {
    format!("Content-Length: {length}")
}

fn lines(headers: &[String]) -> String {
    headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect()
}

/// Gives one answer after another, the last one again and again, until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    requests: Mutex<Receiver<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(answers: Vec<Answer>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, requests) = mpsc::channel();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || serve(&listener, &answers, &stop, &sender)
        });
        Ok(Self {
            address,
            stop,
            requests: Mutex::new(requests),
            thread: Some(thread),
        })
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The `Range` header of every request since the last call; empty where there was none.
    pub fn ranges(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no test panicked with it");
        let range = |request: Vec<String>| {
            let line = request.iter().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("range: ")
                    .map(str::to_owned)
            });
            line.unwrap_or_default()
        };
        requests.try_iter().map(range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes up the thread that waits for a client.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: &TcpListener,
    answers: &[Answer],
    stop: &AtomicBool,
    requests: &Sender<Vec<String>>,
) {
    let mut answers = answers.iter();
    let mut answer = answers.next();
    for client in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // A client may close its end early, which is its right.
        if let (Ok(client), Some(current)) = (client, answer) {
            let _ = reply(client, current, stop, requests);
        }
        answer = answers.next().or(answer);
    }
}

fn reply(
    mut client: TcpStream,
    answer: &Answer,
    stop: &AtomicBool,
    requests: &Sender<Vec<String>>,
) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(&client).lines();
    let mut request = Vec::new();
    while let Some(line) = lines.next().transpose()?
        && !line.is_empty()
    {
        request.push(line);
    }
    let _ = requests.send(request);
    if answer.trickles {
        let head = answer
            .bytes
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = answer.bytes.split_at(head.map_or(0, |at| at + 4));
        client.write_all(head)?;
        for byte in body {
            if stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            client.write_all(&[*byte])?;
            client.flush()?;
            thread::sleep(Duration::from_millis(20));
        }
        return Ok(());
    }
    client.write_all(&answer.bytes)?;
    client.flush()?;
    while answer.stalls && !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
