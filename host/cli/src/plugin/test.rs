//! `host plugin test`: a component in the sandbox that it will serve in, with its author's cases and with inputs made to harm.

mod cases;
mod difference;
mod exam;
mod function;
mod model;
mod plan;
mod records;
mod report;
mod router;
mod shaper;
mod subject;
mod template;
mod timings;
mod torture;

use anyhow::{Result, ensure};
use sandbox::{Function, Role, Router, Shaper, Template};

use crate::args::plugin::TestArgs;
use plan::Plan;
use report::Report;

/// Runs everything and fails if anything did.
pub(super) async fn run(args: TestArgs) -> Result<()> {
    let mut report = Report::new(args.json);
    let plan = Plan::new(args)?;
    match plan.role {
        Role::Router => exam::run::<Router>(&plan, &mut report).await,
        Role::Shaper => exam::run::<Shaper>(&plan, &mut report).await,
        Role::ChatTemplate => exam::run::<Template>(&plan, &mut report).await,
        Role::Function => exam::run::<Function>(&plan, &mut report).await,
    }?;
    report.finish(&plan);
    let (failed, all) = (report.num_failed(), report.num_results());
    ensure!(failed == 0, "{failed} of {all} failed");
    Ok(())
}
