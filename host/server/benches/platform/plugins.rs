//! Request plugins by themselves: an instance, the three roles of one chat request, a token's way through two of them.

use std::time::{Duration, Instant};

use criterion::Criterion;
use sandbox::{
    Caller, ChoiceDelta, Conversation, Delta, Event, InferenceRequest, Input, Job, Limits, Loader,
    ModelCard, ModelTemplate, Outcome, Parser, PluginSet, Request, Sandbox, ServerInfo, Task,
    TemplateInstance, Usage,
};
use tokio::runtime::Runtime;

use super::{
    server,
    turns::{Goal, measure, micros},
};

const NUM_TOKENS: u32 = 64;
const BODY: &str = r#"{"model":"m","stream":true,"max_tokens":64,"temperature":0.7,"messages":[
    {"role":"system","content":"You are a helpful assistant."},
    {"role":"user","content":"Explain in a few sentences what a sandbox is, and why a server would run its plugins in one."}]}"#;

/// The template that the plugins are measured with: 4 KB, as models bring them.
const QWEN3: &str =
    include_str!("../../../../plugins/chat-template/tests/golden/templates/qwen3.jinja");

/// Of the same conversation nearly the same prompt, and next to nothing to parse.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const USAGE: Usage = Usage {
    prompt_tokens: 40,
    completion_tokens: NUM_TOKENS,
    cached_tokens: 0,
    reasoning_tokens: 0,
};

pub(crate) fn bench(criterion: &mut Criterion, runtime: &Runtime) {
    let sandbox = Sandbox::new(Limits::default(), Limits::for_functions(), None)
        .expect("the default limits fit");
    let loader = Loader::new(sandbox, Some(server::code_cache()));
    let plugins = runtime.block_on(server::load_plugins(&loader));
    let mut group = criterion.benchmark_group("plugins");

    measure(
        &mut group,
        "start and drop an instance of chat-template",
        micros(60),
        || {
            runtime.block_on(async {
                let start = Instant::now();
                drop(plugins.template.start("r").await.expect("it starts"));
                start.elapsed()
            })
        },
    );
    measure(
        &mut group,
        "request-shaper: instance, shape a request, drop",
        micros(60),
        || {
            runtime.block_on(async {
                let job = parsed(&plugins).await;
                let start = Instant::now();
                let shaped = plugins.shapers[0].shape(request(&job), &caller()).await;
                let elapsed = start.elapsed();
                assert!(shaped.expect("it runs").is_ok());
                elapsed
            })
        },
    );
    for (name, template, goal) in [
        (
            "three roles, 64 tokens, a template of 4 KB",
            QWEN3,
            Goal::None,
        ),
        (
            "three roles, 64 tokens, a template of one line",
            CHATML,
            micros(300),
        ),
    ] {
        measure(&mut group, name, goal, || {
            runtime.block_on(whole_request(&plugins, template))
        });
    }
    for (name, template, goal) in [
        (
            "chat-template: render, a template of 4 KB",
            QWEN3,
            micros(600),
        ),
        (
            "chat-template: render, a template of one line",
            CHATML,
            Goal::None,
        ),
    ] {
        measure(&mut group, name, goal, || {
            runtime.block_on(async {
                let job = parsed(&plugins).await;
                let mut instance = plugins.template.start("r").await.expect("it starts");
                let start = Instant::now();
                render(&mut instance, template, conversation(&job)).await;
                start.elapsed()
            })
        });
    }
    // A clock around each call costs as much as a twentieth of it, so the mean of a request's tokens is one turn.
    measure(&mut group, "output-parser.push, a token", micros(2), || {
        runtime.block_on(async {
            let (_, mut instance, parser) = begun(&plugins).await;
            let start = Instant::now();
            for _ in 0..NUM_TOKENS {
                push(&mut instance, &parser).await;
            }
            start.elapsed() / NUM_TOKENS
        })
    });
    measure(&mut group, "reply.push, a token", micros(2), || {
        runtime.block_on(async {
            let (mut job, mut instance, parser) = begun(&plugins).await;
            let events = push(&mut instance, &parser).await;
            let start = Instant::now();
            for _ in 0..NUM_TOKENS {
                job.reply.push(&events).await.expect("it runs");
            }
            start.elapsed() / NUM_TOKENS
        })
    });
}

/// All that plugins do for one streamed request.
async fn whole_request(plugins: &PluginSet, template: &str) -> Duration {
    let start = Instant::now();
    let mut job = parsed(plugins).await;
    let shaped = plugins.shapers[0].shape(request(&job), &caller()).await;
    job.task = Task::Generate(shaped.expect("it runs").expect("nothing is refused"));
    let mut instance = plugins.template.start("r").await.expect("it starts");
    let prompt = render(&mut instance, template, conversation(&job)).await;
    let parser = instance.parser(conversation(&job), &prompt).await;
    let parser = parser.expect("it runs");
    job.reply.headers().await.expect("it runs");
    for _ in 0..NUM_TOKENS {
        let events = push(&mut instance, &parser).await;
        job.reply.push(&events).await.expect("it runs");
    }
    instance.finish(parser).await.expect("it runs");
    job.reply.finish(USAGE).await.expect("it runs");
    drop(instance);
    start.elapsed()
}

/// A request whose first token is about to come.
async fn begun(plugins: &PluginSet) -> (Job, TemplateInstance, Parser) {
    let job = parsed(plugins).await;
    let mut instance = plugins.template.start("r").await.expect("it starts");
    let prompt = render(&mut instance, CHATML, conversation(&job)).await;
    let parser = instance.parser(conversation(&job), &prompt).await;
    (job, instance, parser.expect("it runs"))
}

async fn parsed(plugins: &PluginSet) -> Job {
    let request = Request {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        query: None,
        headers: Vec::new(),
        body: BODY.into(),
    };
    let server = ServerInfo {
        request_id: "r".into(),
        now: 1_700_000_000,
        models: vec![ModelCard {
            id: "m".into(),
            created: 1_700_000_000,
            max_model_len: 4096,
            embedding_len: None,
            root: "m".into(),
        }],
    };
    match plugins.router.parse(&request, &server).await {
        Ok(Outcome::Run(job)) => *job,
        Ok(Outcome::Respond(response)) => panic!("the router refused it: {}", response.status),
        Err(error) => panic!("{error}"),
    }
}

fn conversation(job: &Job) -> &Conversation {
    match request(job).inputs.first() {
        Some(Input::Chat(conversation)) => conversation,
        _ => panic!("a chat request has a conversation"),
    }
}

fn request(job: &Job) -> &InferenceRequest {
    match &job.task {
        Task::Generate(request) => request,
        Task::Embed(_) | Task::Tokenize(_) => panic!("a chat request is a generation"),
    }
}

async fn render(
    instance: &mut TemplateInstance,
    template: &str,
    conversation: &Conversation,
) -> String {
    let model = ModelTemplate {
        model: "m".into(),
        chat_template: Some(template.into()),
        bos_token: None,
        eos_token: Some("<|im_end|>".into()),
        now: 1_700_000_000,
    };
    let rendered = instance.render(&model, conversation).await;
    rendered.expect("it runs").expect("the template fits").text
}

async fn push(instance: &mut TemplateInstance, parser: &Parser) -> Vec<Event> {
    let deltas = instance.push(parser, " hello").await.expect("it runs");
    let event = |delta: Delta| {
        Event::Delta(ChoiceDelta {
            choice: 0,
            delta,
            usage_so_far: USAGE,
        })
    };
    deltas.into_iter().map(event).collect()
}

fn caller() -> Caller {
    Caller {
        request_id: "r".into(),
        path: "/v1/chat/completions".into(),
        key_name: None,
    }
}
