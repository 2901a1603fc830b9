mod bench;
mod failures;
mod schedules;
mod sharing;
mod turns;
