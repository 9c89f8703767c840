-- What `hmp doctor` asks of an experiments store.

-- name: artifacts
-- Every artefact, with what its file should be.
SELECT artifact_id, artifact_path, content_hash, size_bytes FROM artifacts ORDER BY artifact_path;

-- name: miscounted
-- Artefacts that are named more or less often than is counted, and what chains name that is not there.
SELECT 'counted otherwise:', a.artifact_id
FROM artifacts a
LEFT JOIN (SELECT artifact_id, count(*) AS n FROM _hmp_references GROUP BY artifact_id) r
    ON r.artifact_id = a.artifact_id
WHERE a.ref_count <> coalesce(r.n, 0)
UNION ALL
SELECT 'a chain names', r.artifact_id
FROM _hmp_references r
WHERE NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.artifact_id = r.artifact_id)
UNION ALL
SELECT 'named by no chain:', r.chain_id
FROM _hmp_references r
WHERE NOT EXISTS (SELECT 1 FROM chains c WHERE c.chain_id = r.chain_id)
ORDER BY 1, 2;

-- name: interrupted
-- The runs whose process ended without a word.
SELECT run_id FROM runs WHERE status = $1 ORDER BY created_at;
