//! A process is killed before each of its disk operations in turn; what it leaves is whole.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use artifact::{Digest, Disk};
use deploy::{Deployments, Quota, Rollout, Rollout::Full, Store};

use crate::support::{QUOTA, canary, commit, commit_hello, name, version};

const TEST: &str =
    "crash::a_process_killed_before_any_disk_operation_leaves_the_state_before_or_after_in_full";

/// What the process that is to be killed is told: where, at which of its disk operations, and how much it is to do.
const FOLDER: &str = "DEPLOY_CRASH_FOLDER";
const KILL_AT: &str = "DEPLOY_CRASH_KILL_AT";
const NUM_STEPS: &str = "DEPLOY_CRASH_NUM_STEPS";

/// What that process prints before each step.
const STARTS: &str = "starts step ";

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Of versions that are not live only the newest is kept, so that the third one drives out the second.
const QUOTA_OF_ONE: Quota = Quota {
    max_versions: std::num::NonZeroUsize::MIN,
    ..QUOTA
};

const COMPONENTS: [&[u8]; 3] = [b"one", b"number two", b"the third component"];

/// What is done, one after the other, to a store that was just made.
const SCRIPT: [fn(&mut Store); 6] = [
    |store| put_and_deploy(store, COMPONENTS[0], Full),
    |store| put_and_deploy(store, COMPONENTS[1], canary(25)),
    |store| commit(store, |now| now.promote(&name("hello"))).unwrap(),
    |store| commit(store, |now| now.rollback(&name("hello"))).unwrap(),
    |store| put_and_deploy(store, COMPONENTS[2], Full),
    |store| commit(store, |now| now.remove(&name("hello"))).unwrap(),
];

fn put_and_deploy(store: &mut Store, component: &[u8], how: Rollout) {
    store.put(component).unwrap();
    commit_hello(store, version(component), how).unwrap();
}

fn open(folder: &Path) -> Store {
    Store::open(folder, Disk::new(), QUOTA_OF_ONE).unwrap()
}

/// The part of the process that is to be killed: makes the store, and does the first steps of the script.
fn work_until_killed(folder: &Path) {
    let told = |key| env::var(key).unwrap().parse::<usize>().unwrap();
    let (kill_at, num_steps) = (told(KILL_AT), told(NUM_STEPS));
    let operations = AtomicUsize::new(0);
    let hook = move |_: &str| {
        if operations.fetch_add(1, Ordering::Relaxed) + 1 == kill_at {
            die(kill_at);
        }
    };
    let mut store = Store::open(folder, Disk::observed(Arc::new(hook)), QUOTA_OF_ONE).unwrap();
    for (step, work) in SCRIPT.iter().enumerate().take(num_steps) {
        println!("{STARTS}{step}");
        work(&mut store);
    }
}

/// Every third time by the signal that a process cannot see coming.
fn die(kill_at: usize) {
    if !kill_at.is_multiple_of(3) {
        std::process::abort();
    }
    let pid = std::process::id().to_string();
    let killed = Command::new("kill").args(["-KILL", &pid]).status();
    unreachable!("this process was to be killed: {killed:?}");
}

/// How such a process ended, and the number of steps that it started.
fn run_and_kill(folder: &Path, kill_at: usize, num_steps: usize) -> (ExitStatus, usize) {
    let process = Command::new(env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(KILL_AT, kill_at.to_string())
        .env(NUM_STEPS, num_steps.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(process.stdout).unwrap();
    if !process.status.success() {
        let signal = if kill_at.is_multiple_of(3) {
            SIGKILL
        } else {
            SIGABRT
        };
        let told = String::from_utf8_lossy(&process.stderr);
        assert_eq!(
            process.status.signal(),
            Some(signal),
            "at {kill_at}: {told}"
        );
    }
    (process.status, said.matches(STARTS).count())
}

/// All files below a folder, by their paths from there.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).iter().map(|below| format!("{name}/{below}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// The files that a store of these deployments has, and no others.
fn files_of(deployments: &Deployments) -> BTreeSet<String> {
    let components = deployments.components();
    let blobs = components
        .iter()
        .map(|digest| format!("blobs/sha256/{}", digest.hex()));
    ["deployments.json".into(), "lock".into()]
        .into_iter()
        .chain(blobs)
        .collect()
}

fn check_components(store: &Store) {
    for digest in store.deployments().components() {
        let component = store.component(&digest).unwrap().unwrap();
        let written = COMPONENTS
            .into_iter()
            .find(|written| Digest::of(written) == digest);
        assert_eq!(component, written.unwrap());
    }
}

#[test]
fn a_process_killed_before_any_disk_operation_leaves_the_state_before_or_after_in_full() {
    if let Some(folder) = env::var_os(FOLDER) {
        return work_until_killed(Path::new(&folder));
    }
    // The first state is that of a new store, each further one what a step leaves.
    let whole = tempfile::tempdir().unwrap();
    let mut store = open(whole.path());
    let mut states = vec![store.deployments().clone()];
    for work in SCRIPT {
        work(&mut store);
        assert_eq!(files(whole.path()), files_of(store.deployments()));
        states.push(store.deployments().clone());
    }

    let mut outcomes = BTreeSet::new();
    let (mut num_kills, mut num_kills_at_open, mut num_temporary, mut num_unnamed) = (0, 0, 0, 0);
    for kill_at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (ended, num_started) = run_and_kill(folder, kill_at, SCRIPT.len());
        if ended.success() {
            assert_eq!(num_started, SCRIPT.len());
            break;
        }
        num_kills += 1;
        let left = files(folder);
        // Whoever opens the store is killed too, until all that there is to do at the start is done.
        let kills = (1..).take_while(|&again| !run_and_kill(folder, again, 0).0.success());
        num_kills_at_open += kills.count();

        let mut store = open(folder);
        let state = store.deployments();
        let before = &states[num_started.saturating_sub(1)];
        let after = &states[num_started];
        assert!(
            state == before || state == after,
            "killed at {kill_at}: {state:#?}"
        );
        assert_eq!(files(folder), files_of(state), "killed at {kill_at}");
        check_components(&store);
        let num_done = if state == after {
            num_started
        } else {
            num_started - 1
        };
        outcomes.insert((num_started, num_done));
        let (temporary, finished): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|file| file.ends_with(".tmp"));
        let named = files_of(state);
        num_temporary += usize::from(!temporary.is_empty());
        num_unnamed += usize::from(finished.iter().any(|file| !named.contains(file)));

        // What was not done can be done again, and what follows too.
        for (work, after) in SCRIPT.iter().zip(&states[1..]).skip(num_done) {
            work(&mut store);
            assert_eq!(store.deployments(), after, "killed at {kill_at}");
            assert_eq!(files(folder), files_of(after), "killed at {kill_at}");
            check_components(&store);
        }
    }
    eprintln!(
        "{num_kills} kills, {num_kills_at_open} more while opening; {num_temporary} left temporary files, {num_unnamed} \
         components that nothing names"
    );
    assert!(
        num_kills > 40 && num_kills_at_open > num_kills,
        "the hook is not called"
    );
    assert!(
        num_temporary > 10 && num_unnamed > 10,
        "nothing was left to be cleaned up"
    );
    for step in 1..=SCRIPT.len() {
        assert!(outcomes.contains(&(step, step - 1)) && outcomes.contains(&(step, step)));
    }
}
