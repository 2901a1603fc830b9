//! What the three built-in plugins cost per request and per token, without HTTP and engine.
//!
//! `cargo run --release -p sandbox --example plugin_cost [-- TEMPLATE.jinja]`, in the repository root. Each request gets
//! fresh instances, as in the server.

use std::time::{Duration, Instant};

use sandbox::{
    Caller, Capability, ChoiceDelta, Delta, Event, Input, Limits, Loader, ModelCard, ModelTemplate,
    Outcome, PluginSpec, Request, Sandbox, ServerInfo, Task, Usage,
};

const REQUESTS: usize = 1000;
const TOKENS: usize = 64;
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const BODY: &str = r#"{"model":"m","stream":true,"max_tokens":64,"temperature":0.7,"messages":[
    {"role":"system","content":"You are a helpful assistant."},
    {"role":"user","content":"Explain in a few sentences what a sandbox is, and why a server would run its plugins in one."}]}"#;

type Failure = Box<dyn std::error::Error>;

/// Durations of one kind of step.
struct Samples {
    name: &'static str,
    times: Vec<Duration>,
}

impl Samples {
    fn new(name: &'static str) -> Samples {
        Samples {
            name,
            times: Vec::new(),
        }
    }

    fn since(&mut self, start: Instant) {
        self.times.push(start.elapsed());
    }

    fn print(mut self) {
        self.times.sort();
        let at = |percent: usize| self.times[(self.times.len() - 1) * percent / 100];
        println!(
            "{:<44} {:>10.1?} {:>10.1?} {:>8}",
            self.name,
            at(50),
            at(99),
            self.times.len()
        );
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let template = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?,
        None => CHATML.to_owned(),
    };
    let loader = Loader::new(
        Sandbox::new(Limits::default(), Limits::for_functions(), None)?,
        None,
    );
    let spec = |name| PluginSpec::named(name).granted([Capability::Log, Capability::Config]);
    let started = Instant::now();
    let router = loader
        .load_router(spec("openai-router"), wasm("openai-router")?)
        .await?;
    let shaper = loader
        .load_shaper(spec("request-shaper"), wasm("request-shaper")?)
        .await?;
    let chat = loader
        .load_template(spec("chat-template"), wasm("chat-template")?)
        .await?;
    println!("compiled and tried out in {:.1?}", started.elapsed());

    let mut start = Samples::new("template: start a fresh instance");
    let mut parse = Samples::new("router: fresh instance + parse");
    let mut shape = Samples::new("shaper: fresh instance + shape");
    let mut render = Samples::new("template: render");
    let mut parser_new = Samples::new("template: make a parser");
    let mut headers = Samples::new("router: reply.headers");
    let mut token = Samples::new("per token: output-parser.push + reply.push");
    let mut finish = Samples::new("output-parser.finish + reply.finish");
    let mut whole = Samples::new("whole request, 64 tokens");
    let usage = Usage {
        prompt_tokens: 40,
        completion_tokens: 64,
        cached_tokens: 0,
        reasoning_tokens: 0,
    };
    for number in 0..REQUESTS {
        let begun = Instant::now();
        let id = format!("r-{number}");

        let t = Instant::now();
        let Outcome::Run(mut job) = router.parse(&request(), &server(&id)).await? else {
            return Err("the router refused the request".into());
        };
        parse.since(t);
        let Task::Generate(asked) = &job.task else {
            return Err("the router took it for something else".into());
        };

        let caller = Caller {
            request_id: id.clone(),
            path: "/v1/chat/completions".into(),
            key_name: None,
        };
        let t = Instant::now();
        let shaped = shaper.shape(asked, &caller).await?.map_err(|e| e.message)?;
        shape.since(t);
        let Some(Input::Chat(conversation)) = shaped.inputs.first() else {
            return Err("the router made no conversation".into());
        };

        let t = Instant::now();
        let mut instance = chat.start(&id).await?;
        start.since(t);
        let t = Instant::now();
        let prompt = instance
            .render(&model(&template), conversation)
            .await?
            .map_err(|e| e.message)?;
        render.since(t);
        let t = Instant::now();
        let parser = instance.parser(conversation, &prompt.text).await?;
        parser_new.since(t);

        let t = Instant::now();
        job.reply.headers().await?;
        headers.since(t);
        for _ in 0..TOKENS {
            let t = Instant::now();
            let deltas = instance.push(&parser, " hello").await?;
            let event = |delta: Delta| {
                Event::Delta(ChoiceDelta {
                    choice: 0,
                    delta,
                    usage_so_far: usage,
                })
            };
            let events: Vec<Event> = deltas.into_iter().map(event).collect();
            job.reply.push(&events).await?;
            token.since(t);
        }
        let t = Instant::now();
        instance.finish(parser).await?;
        job.reply.finish(usage).await?;
        finish.since(t);
        drop(instance);
        whole.since(begun);
    }
    println!("{:<44} {:>10} {:>10} {:>8}", "", "P50", "P99", "samples");
    for samples in [
        parse, shape, start, render, parser_new, headers, token, finish, whole,
    ] {
        samples.print();
    }
    Ok(())
}

fn wasm(name: &str) -> Result<Vec<u8>, Failure> {
    let path = format!("plugins/dist/{name}.wasm");
    std::fs::read(&path).map_err(|e| format!("{path}: {e}; run this in the repository root").into())
}

fn request() -> Request {
    let path = "/v1/chat/completions".into();
    Request {
        method: "POST".into(),
        path,
        query: None,
        headers: Vec::new(),
        body: BODY.into(),
    }
}

fn server(id: &str) -> ServerInfo {
    let model = ModelCard {
        id: "m".into(),
        created: 1_700_000_000,
        max_model_len: 4096,
        embedding_len: None,
        root: "m".into(),
    };
    ServerInfo {
        request_id: id.into(),
        now: 1_700_000_000,
        models: vec![model],
    }
}

fn model(template: &str) -> ModelTemplate {
    ModelTemplate {
        model: "m".into(),
        chat_template: Some(template.into()),
        bos_token: None,
        eos_token: Some("<|im_end|>".into()),
        now: 1_700_000_000,
    }
}
