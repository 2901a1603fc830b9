//! What does not fit is refused when it is loaded, with a message that says what to change.

use sandbox::{
    Capability, Limits, Phase, PluginError, PluginSet, PluginSpec, Registry, Role, Sandbox,
};
use serde_json::json;

use crate::support::*;

/// Why a component given as text is refused.
async fn refusal(text: &str) -> String {
    refusal_of(wat::parse_str(text).unwrap()).await
}

async fn refusal_of(bytes: Vec<u8>) -> String {
    let loaded = loader(limits()).load(spec("odd"), bytes).await;
    let error = loaded.err().expect("it must be refused");
    assert_eq!(
        (&*error.plugin, error.phase, error.fault.label()),
        ("odd", Phase::Load, "load")
    );
    error.to_string()
}

fn component(import: &str, export: &str) -> String {
    format!(
        r#"(component (import "{import}" (instance)) (instance $i) (export "{export}" (instance $i)))"#
    )
}

#[tokio::test]
async fn an_import_that_the_host_does_not_have_is_refused_by_name() {
    let text = refusal(&component(
        "wasi:cli/stdout@0.2.6",
        "lm:plugin/shaping@0.1.0",
    ))
    .await;
    assert!(
        text.contains("imports `wasi:cli/stdout@0.2.6`, which no host interface provides"),
        "{text}"
    );
    let text = refusal(&component("acme:kv/store@1.0.0", "lm:plugin/routing@0.1.0")).await;
    assert!(
        text.contains("imports `acme:kv/store@1.0.0`, which no host interface provides"),
        "{text}"
    );
    let text = refusal(&component(
        "lm:plugin/inference@0.1.0",
        "lm:plugin/shaping@0.1.0",
    ))
    .await;
    assert!(
        text.contains("imports `lm:plugin/inference@0.1.0`, which only functions can be given"),
        "{text}"
    );
}

#[tokio::test]
async fn another_version_of_the_contract_is_refused_by_name() {
    let text = refusal(&component("lm:plugin/log@0.1.0", "lm:plugin/shaping@0.2.0")).await;
    assert!(
        text.contains("built for lm:plugin 0.2, this host speaks 0.1")
            && text.contains("lm:plugin/shaping@0.2.0"),
        "{text}"
    );
    let text = refusal(&component("lm:plugin/log@0.2.0", "lm:plugin/shaping@0.1.0")).await;
    assert!(
        text.contains("built for lm:plugin 0.2, this host speaks 0.1")
            && text.contains("lm:plugin/log@0.2.0"),
        "{text}"
    );
}

#[tokio::test]
async fn a_component_without_a_role_is_refused() {
    let text = refusal("(component)").await;
    assert!(
        text.contains("exports neither `routing` nor `shaping` nor `templating`"),
        "{text}"
    );
    let text = refusal(&component("lm:plugin/log@0.1.0", "lm:plugin/shaping@0.1.0")).await;
    assert!(text.contains("its exports do not fit the role"), "{text}");
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let module = wat::parse_str("(module)").unwrap();
    for (bytes, said) in [
        (vec![], "it is empty"),
        (b"not wasm at all".to_vec(), "not WebAssembly"),
        (b"(module)".to_vec(), "text format"),
        (module, "core module"),
    ] {
        let text = refusal_of(bytes).await;
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_component_larger_than_an_instance_may_be_is_refused() {
    let text = refusal(
        r#"(component (core module $m (memory 1025)) (core instance (instantiate $m))
            (instance $i) (export "lm:plugin/shaping@0.1.0" (instance $i)))"#,
    )
    .await;
    assert!(
        text.contains("not a component that can be compiled"),
        "{text}"
    );
    assert!(text.contains("memory"), "{text}");
}

#[tokio::test]
async fn a_capability_that_was_not_granted_is_refused_by_name() {
    let loader = loader(limits());
    let refused = async |grants: &[Capability]| -> PluginError {
        let spec = PluginSpec::named("curious").granted(grants.iter().copied());
        loader
            .load(spec, wasm("hostile-router"))
            .await
            .err()
            .expect("it imports log and config")
    };
    let error = refused(&[Capability::Log]).await;
    assert!(
        error
            .to_string()
            .contains("imports `lm:plugin/config@0.1.0`, but the capability `config` was not"),
        "{error}"
    );
    let error = refused(&[Capability::Config]).await;
    assert!(
        error
            .to_string()
            .contains("imports `lm:plugin/log@0.1.0`, but the capability `log` was not"),
        "{error}"
    );
    let error = refused(&[]).await;
    assert!(
        error.to_string().contains("`log`") && error.to_string().contains("`config`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_of_another_role_is_refused() {
    let loaded = loader(limits())
        .load_router(spec("misplaced"), wasm("hostile-shaper"))
        .await;
    let error = loaded.err().expect("a shaper is no router");
    assert!(
        error
            .to_string()
            .contains("it is a shaper, and a router is wanted"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_that_fails_its_first_call_never_serves() {
    let loader = loader(limits());
    for (word, label) in [
        ("trap", "trap"),
        ("memory-bomb", "memory"),
        ("bad-route", "contract"),
        ("none", "contract"),
    ] {
        let mut spec = spec("broken");
        spec.config
            .insert("order".into(), json!(format!("routes:{word}")));
        let error = loader
            .load(spec, wasm("hostile-router"))
            .await
            .err()
            .expect(word);
        assert_eq!(
            (error.phase, error.fault.label()),
            (Phase::Routes, label),
            "{error}"
        );
    }
}

#[tokio::test]
async fn requests_keep_the_plugins_that_they_began_with() {
    let loader = loader(limits());
    let first = PluginSet {
        router: hostile_router(&loader).await,
        shapers: vec![hostile_shaper(&loader).await],
        template: hostile_template(&loader).await,
    };
    let registry = Registry::new(first);
    let running = registry.current();

    let second = loader
        .load(spec("second-shaper"), wasm("request-shaper"))
        .await
        .unwrap();
    assert_eq!(registry.update(|plugins| plugins.with(second.clone())), 2);
    let replaced = loader
        .load(spec("hostile-shaper"), wasm("hostile-shaper"))
        .await
        .unwrap();
    assert_eq!(registry.update(|plugins| plugins.with(replaced.clone())), 3);

    let names = |set: &PluginSet| {
        set.shapers
            .iter()
            .map(|shaper| shaper.info().name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (running.generation, names(&running.plugins)),
        (1, vec!["hostile-shaper".into()])
    );
    let current = registry.current();
    assert_eq!(current.generation, 3);
    assert_eq!(names(&current.plugins), ["hostile-shaper", "second-shaper"]);
    let shaped = running.plugins.shapers[0]
        .shape(&inference("echo"), &caller())
        .await;
    assert_eq!(shaped, Ok(Ok(inference("echo"))));
    assert_eq!(registry.swap(running.plugins.clone()), 4);
    assert_eq!(names(&registry.current().plugins), ["hostile-shaper"]);
}

#[tokio::test]
async fn the_digest_of_a_plugin_is_known() {
    let router = hostile_router(&loader(limits())).await;
    let info = router.info();
    assert_eq!((&*info.name, info.role), ("hostile-router", Role::Router));
    let sums = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../plugins/dist/SHA256SUMS"
    ))
    .unwrap();
    assert!(
        sums.contains(&info.digest.hex()),
        "{} is not among\n{sums}",
        info.digest
    );
}

#[test]
fn limits_under_which_nothing_can_run_are_refused() {
    for limits in [
        Limits {
            memory_bytes: 1000,
            ..limits()
        },
        Limits {
            memory_bytes: 0,
            ..limits()
        },
        Limits {
            memory_bytes: 4 << 30,
            ..limits()
        },
        Limits {
            max_instances: 0,
            ..limits()
        },
        Limits {
            max_output_bytes: 0,
            ..limits()
        },
        Limits {
            cpu_budget: std::time::Duration::ZERO,
            ..limits()
        },
    ] {
        let error = Sandbox::new(limits, function_limits(), None)
            .err()
            .expect("nothing can run");
        assert!(
            error
                .to_string()
                .starts_with("the plugin limits cannot be used: "),
            "{error}"
        );
    }
}
