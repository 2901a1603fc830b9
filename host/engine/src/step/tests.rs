mod bench;
mod embeddings;
mod failures;
mod schedules;
mod scores;
mod sharing;
mod turns;
