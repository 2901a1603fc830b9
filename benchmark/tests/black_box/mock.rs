//! An HTTP server on loopback that answers as a test tells it to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinHandle,
};

/// What the server does with one request.
pub(crate) enum Answer {
    /// These bytes as a whole event stream, in chunks that do not respect event borders.
    Stream(String),
    /// As `Stream`, but the connection is closed before the body is complete.
    Cut(String),
    /// A status and a body.
    Status(u16, String),
    /// The connection is closed without a word.
    Close,
    /// No answer until the client hangs up.
    Silence,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

type Script = dyn Fn(usize) -> Answer + Send + Sync;

#[derive(Default)]
struct Log {
    asked: Vec<Asked>,
    /// Requests without an answer now, and the most there ever were.
    waiting: usize,
    most_waiting: usize,
}

/// The server; it stops when dropped.
pub(crate) struct Mock {
    base_url: String,
    log: Arc<Mutex<Log>>,
    accept: JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Mock {
    /// Answers the n-th generation request, counted from 0, with `script(n)`, and lists the models `first` and `second`.
    pub(crate) async fn start(script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Mock::start_with(script, 1).await
    }

    /// As `start`, but answers generation requests only when `together` of them wait for an answer.
    pub(crate) async fn start_with(
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
        together: usize,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        let script: Arc<Script> = Arc::new(script);
        let barrier = Arc::new(Barrier::new(together));
        let shared = log.clone();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, barrier) = (script.clone(), shared.clone(), barrier.clone());
                tokio::spawn(async move { serve(stream, &*script, &log, &barrier).await });
            }
        });
        Mock {
            base_url,
            log,
            accept,
        }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The generation requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().asked.clone()
    }

    /// The most requests that ever waited for an answer at once.
    pub(crate) fn most_waiting(&self) -> usize {
        self.log.lock().unwrap().most_waiting
    }
}

async fn serve(stream: TcpStream, script: &Script, log: &Mutex<Log>, barrier: &Barrier) {
    // Answers are many small writes; held back by Nagle's algorithm each would cost the tests 40 ms.
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read_request(&mut stream).await {
        if asked.target == "/v1/models" {
            let list = r#"{"object":"list","data":[{"id":"first"},{"id":"second"}]}"#;
            write_plain(&mut stream, 200, list).await;
            continue;
        }
        let nth = {
            let mut log = log.lock().unwrap();
            log.asked.push(asked);
            log.waiting += 1;
            log.most_waiting = log.most_waiting.max(log.waiting);
            log.asked.len() - 1
        };
        barrier.wait().await;
        // Gives a client that sends too much every chance to be caught; one that does not passes however this goes.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        // Before the answer: the client may send its next request as soon as it has seen the end of this one.
        log.lock().unwrap().waiting -= 1;
        match script(nth) {
            Answer::Stream(body) => {
                write_stream(&mut stream, &body).await;
                write(&mut stream, b"0\r\n\r\n").await;
            }
            Answer::Cut(body) => return write_stream(&mut stream, &body).await,
            Answer::Status(status, body) => write_plain(&mut stream, status, &body).await,
            Answer::Close => return,
            Answer::Silence => {
                let _ = stream.read_u8().await;
                return;
            }
        }
    }
}

/// The next request of a connection, or nothing when the client has closed it.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut target = None;
    let mut authorization = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if target.is_none() {
            target = line.split(' ').nth(1).map(str::to_owned);
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => authorization = Some(value.to_owned()),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked {
        target: target?,
        authorization,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

async fn write_stream(stream: &mut BufReader<TcpStream>, body: &str) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    write(stream, head.as_bytes()).await;
    for piece in body.as_bytes().chunks(7) {
        write(stream, format!("{:x}\r\n", piece.len()).as_bytes()).await;
        write(stream, piece).await;
        write(stream, b"\r\n").await;
    }
}

async fn write_plain(stream: &mut BufReader<TcpStream>, status: u16, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    write(stream, head.as_bytes()).await;
    write(stream, body.as_bytes()).await;
}

/// A client may hang up in the middle of an answer; the next read notices.
async fn write(stream: &mut BufReader<TcpStream>, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}
