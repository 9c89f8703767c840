-- The index answers which runs failed, and knows a session that was moved.

ALTER TABLE runs_index ADD COLUMN exit_status TEXT;
ALTER TABLE runs_index ADD COLUMN time_stop REAL;
ALTER TABLE runs_index ADD COLUMN num_events INTEGER;
ALTER TABLE runs_index ADD COLUMN operator TEXT;
ALTER TABLE runs_index ADD COLUMN scan_id INTEGER;
CREATE INDEX idx_runs_index_beamtime ON runs_index (beamtime_id);
CREATE INDEX idx_runs_index_researcher ON runs_index (researcher_id);

ALTER TABLE beamtimes ADD COLUMN store_id TEXT;
-- ok, missing, moved: how the file was found when it was last looked for
ALTER TABLE beamtimes ADD COLUMN state TEXT;
-- what the file looked like then
ALTER TABLE beamtimes ADD COLUMN mark TEXT;
