//! Traces as a collector gets them: the real program, a real model, and OTLP over loopback.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;

/// Takes what is exported, and keeps it.
struct Collector {
    address: String,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::<Mutex<Vec<_>>>::default();
        let kept = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                take(stream.unwrap(), &kept);
            }
        });
        Self { address, taken }
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let of_resources = taken.iter().flat_map(|batch| &batch.resource_spans);
        let of_scopes = of_resources.flat_map(|resource| &resource.scope_spans);
        of_scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// Answers one request and hangs up.
fn take(mut stream: TcpStream, kept: &Mutex<Vec<ExportTraceServiceRequest>>) {
    let (head, body) = read(&stream);
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    kept.lock()
        .unwrap()
        .push(ExportTraceServiceRequest::decode(&body[..]).unwrap());
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .unwrap();
}

/// A message's head in lower case, and its body of a known length.
fn read(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "cut off: {head}");
    }
    let head = head.to_lowercase();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// A server on the demo model, and the address that it says it has.
fn serve(collector: &Collector) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_host"))
        .args(["serve", "--port", "0"])
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", collector.address),
        )
        .env("OTEL_SERVICE_NAME", "tested")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (_, url) = line.split_once("http://").expect("where it serves");
    let address = url.trim().trim_end_matches("/v1").to_owned();
    (server, address)
}

/// Asks for a chat of eight tokens as part of a trace of the client's.
fn chat(address: &str, traceparent: &str) {
    let body = r#"{"model":"demo","messages":[{"role":"user","content":"Count to ten."}],"max_tokens":8,"ignore_eos":true}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: host\r\nconnection: close\r\nx-request-id: mine";
    let len = body.len();
    write!(
        stream,
        "{head}\r\ntraceparent: {traceparent}\r\ncontent-length: {len}\r\n\r\n{body}"
    )
    .unwrap();
    let (head, body) = read(&stream);
    assert!(
        head.starts_with("http/1.1 200"),
        "{head}{}",
        String::from_utf8_lossy(&body)
    );
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} of {span:?} is {other:?}"),
    }
}

#[test]
fn a_request_is_one_trace_under_its_clients_with_a_span_for_each_stage() {
    let collector = Collector::start();
    let (mut server, address) = serve(&collector);
    chat(
        &address,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    // The client has decided that this one is not recorded.
    chat(
        &address,
        "00-11111111111111111111111111111111-b7ad6b7169203331-00",
    );
    let told = Command::new("kill")
        .args(["-TERM", &server.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    assert!(server.wait().unwrap().success());

    let spans = collector.spans();
    let trace_id = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(
        spans.iter().all(|span| span.trace_id == trace_id),
        "{spans:#?}"
    );
    let named = |name: &str| {
        let mut of_name = spans.iter().filter(|span| span.name == name);
        let found = of_name
            .next()
            .unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
        assert_eq!(of_name.next(), None, "more than one {name}");
        found
    };
    let request = named("request");
    assert_eq!(
        request.parent_span_id,
        0xb7ad_6b71_6920_3331_u64.to_be_bytes()
    );
    for (key, value) in [
        ("request_id", "mine"),
        ("http.request.method", "POST"),
        ("url.path", "/v1/chat/completions"),
        ("http.response.status_code", "200"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "demo"),
        ("gen_ai.request.max_tokens", "8"),
        ("gen_ai.usage.output_tokens", "8"),
    ] {
        assert_eq!(attribute(request, key), value, "{key}");
    }
    // Each begins when the one before has ended.
    let stages = [
        "parse", "shape", "render", "tokenise", "queue", "prefill", "decode",
    ];
    let mut before = request.start_time_unix_nano;
    for name in stages {
        let stage = named(name);
        assert_eq!(stage.parent_span_id, request.span_id, "{name}");
        assert!(
            stage.start_time_unix_nano >= before,
            "{name} begins too soon"
        );
        before = stage.end_time_unix_nano;
    }
    // The answer is written while it is made.
    let reply = named("reply");
    assert_eq!(reply.parent_span_id, request.span_id);
    assert!(reply.end_time_unix_nano >= before);
    assert!(request.end_time_unix_nano >= reply.end_time_unix_nano);
    assert_eq!(spans.len(), stages.len() + 2, "{spans:#?}");

    let tokens = "gen_ai.usage.input_tokens";
    assert_eq!(
        attribute(named("prefill"), tokens),
        attribute(request, tokens)
    );
    assert_eq!(
        attribute(named("tokenise"), "num_tokens"),
        attribute(request, tokens)
    );
    assert_eq!(attribute(named("decode"), "finish_reason"), "length");

    let taken = collector.taken.lock().unwrap();
    let resource = taken[0].resource_spans[0].resource.as_ref().unwrap();
    let service = Some(Value::StringValue("tested".into()));
    let is_named = |attribute: &&opentelemetry_proto::tonic::common::v1::KeyValue| {
        attribute.key == "service.name"
    };
    let found = resource.attributes.iter().find(is_named).unwrap();
    assert_eq!(found.value.as_ref().unwrap().value, service);
}
