-- Entity snapshots: the state of every live entity as a mark saw it, so that states need not be told from the log's
-- beginning. What comes after one are the changes that its mark did not see, whatever their ids and times.
CREATE TABLE IF NOT EXISTS audit.snapshot (
    mark        bigint PRIMARY KEY REFERENCES audit.mark (id),
    snapshot_at timestamptz NOT NULL UNIQUE,
    entities    bigint NOT NULL,
    changes     bigint NOT NULL,
    last_id     bigint NOT NULL,
    dropped     timestamptz[] NOT NULL,
    partial     text[] NOT NULL,
    taken_by    text NOT NULL DEFAULT session_user
);
ALTER TABLE audit.snapshot OWNER TO auditlab_owner;
COMMENT ON TABLE audit.snapshot IS
    'One row a snapshot of the entities, whose states stand in audit.entity_snapshots under the same snapshot_at.';
COMMENT ON COLUMN audit.snapshot.changes IS 'How many changes it saw that the one before it did not.';
COMMENT ON COLUMN audit.snapshot.last_id IS 'The highest id among all changes that it saw.';
COMMENT ON COLUMN audit.snapshot.dropped IS 'When partitions had been dropped from the log by then, as auditlab prune wrote it down.';

COMMENT ON COLUMN audit.snapshot.partial IS 'Types of which rows were there before their log began, as changes of some showed.';

-- The published definition, and the transaction of the entity's last change. Rows that others wrote have none of our marks.
ALTER TABLE audit.entity_snapshots ADD COLUMN IF NOT EXISTS last_transaction bigint;
CREATE INDEX IF NOT EXISTS entity_snapshots_time ON audit.entity_snapshots USING brin (snapshot_at);

-- Nobody but take_snapshot writes them: what it writes, it has read.
DO $$
DECLARE
    relation regclass;
    reader record;
BEGIN
    FOREACH relation IN ARRAY ARRAY['audit.snapshot', 'audit.entity_snapshots']::regclass[] LOOP
        FOR reader IN
            SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END AS role
            FROM pg_class AS c, aclexplode(c.relacl) AS x WHERE c.oid = relation AND x.grantee <> c.relowner
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %s', relation, reader.role);
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'append_only') THEN
            EXECUTE format(
                'CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', relation
            );
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', relation);
        END IF;
    END LOOP;
END
$$;

-- An order in which steps link, from the state `anchor` on (null: from any): how many there are (2 for several), and the
-- last step of the one nearest to the ids. A step leads from `befores` to `afters`; null is not known, 'null' absent.
CREATE OR REPLACE FUNCTION audit.walks(
    befores jsonb[], afters jsonb[], anchor jsonb, OUT orders integer, OUT last_step integer
)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    steps integer := cardinality(befores);
    path integer[] := '{}';
    tried integer[] := ARRAY[0];
    depth integer := 0;
    trials integer := 0;
    state jsonb;
    candidate integer;
BEGIN
    orders := 0;
    WHILE depth >= 0 LOOP
        IF trials > 200000 THEN
            orders := 2;
            last_step := coalesce(last_step, steps);
            RETURN;
        END IF;
        state := CASE depth WHEN 0 THEN anchor ELSE afters[path[depth]] END;
        candidate := (
            SELECT min(step) FROM generate_series(tried[depth + 1] + 1, steps) AS step
            WHERE step <> ALL (path)
                AND (state IS NULL OR befores[step] IS NULL OR befores[step] = state)
                AND NOT EXISTS (
                    SELECT FROM generate_series(1, step - 1) AS alike
                    WHERE alike <> ALL (path) AND afters[alike] = afters[step]
                        AND befores[alike] IS NOT DISTINCT FROM befores[step]
                )
        );
        IF candidate IS NULL THEN
            depth := depth - 1;
            path := path[1:depth];
            CONTINUE;
        END IF;
        tried[depth + 1] := candidate;
        IF depth + 1 = steps THEN
            orders := orders + 1;
            last_step := coalesce(last_step, candidate);
            IF orders = 2 OR anchor IS NOT NULL THEN
                RETURN;
            END IF;
            CONTINUE;
        END IF;
        path := path || candidate;
        depth := depth + 1;
        tried[depth + 1] := 0;
        trials := trials + steps - depth;
    END LOOP;
END
$$;

-- Of an entity's changes by id, the id of the one that comes last when those of each transaction are put in the order in
-- which their images link: a trigger that updates its own row logs the inner change first. `start` is the state before.
CREATE OR REPLACE FUNCTION audit.last_linked(
    ids bigint[], transactions bigint[], befores jsonb[], afters jsonb[], start jsonb
) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    state jsonb := start;
    low integer := 1;
    high integer;
    size integer := cardinality(ids);
    place integer;
    found_before jsonb;
    links boolean;
    orders integer;
    ending integer;
BEGIN
    WHILE low <= size LOOP
        high := low;
        WHILE high < size AND transactions[high + 1] = transactions[low] LOOP
            high := high + 1;
        END LOOP;
        place := high;
        found_before := CASE low WHEN 1 THEN start ELSE afters[low - 1] END;
        links := (found_before IS NULL OR befores[low] IS NOT DISTINCT FROM found_before) AND NOT EXISTS (
            SELECT FROM generate_series(low + 1, high) AS step WHERE befores[step] IS DISTINCT FROM afters[step - 1]
        );
        IF high > low AND NOT links THEN
            orders := 0;
            IF state IS NOT NULL THEN
                SELECT w.orders, w.last_step INTO orders, ending FROM audit.walks(befores[low:high], afters[low:high], state) AS w;
            END IF;
            IF orders > 0 THEN
                place := low + ending - 1;
                state := afters[place];
            ELSIF NOT EXISTS (
                SELECT FROM generate_series(low + 1, high) AS step
                WHERE befores[step] IS NOT NULL AND befores[step] <> afters[step - 1]
            ) THEN
                state := afters[high];
            ELSE
                SELECT w.orders, w.last_step INTO orders, ending FROM audit.walks(befores[low:high], afters[low:high], NULL) AS w;
                IF orders = 1 THEN
                    place := low + ending - 1;
                END IF;
                state := CASE WHEN orders < 2 THEN afters[place] END;
            END IF;
        ELSE
            state := afters[high];
        END IF;
        low := high + 1;
    END LOOP;
    RETURN ids[place];
END
$$;

-- Write the state of every live entity as this moment's snapshot sees it, and that snapshot as a mark; all in one
-- statement. It begins where the snapshot before it ends, if there is one of this system. Only where more changed since
-- than there are entities, unless `always`. `keep` leaves so many snapshots and removes older ones.
CREATE OR REPLACE FUNCTION audit.take_snapshot(
    called text DEFAULT NULL, always boolean DEFAULT false, keep integer DEFAULT NULL,
    OUT kept audit.mark, OUT entities bigint, OUT changes bigint, OUT removed bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, MDY'
SET timezone = 'UTC'
SET jit = off
SET enable_nestloop = off  -- nothing tells the planner how many rows the steps in between have
AS $$
DECLARE
    own_system text := (SELECT c.system_identifier::text FROM pg_control_system() AS c);
    previous record;
    since bigint;
    gone bigint := 0;
    gone_at timestamptz[] := '{}';
    done record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR txid_current_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'a snapshot of the entities is taken in a READ COMMITTED transaction of its own'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF keep < 1 THEN
        RAISE EXCEPTION 'cannot keep % snapshots: the last one stays', keep USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('auditlab snapshot')) THEN
        RAISE EXCEPTION 'another snapshot of the entities is being taken' USING ERRCODE = 'lock_not_available';
    END IF;
    LOCK TABLE audit.entity_change_log IN ACCESS SHARE MODE;  -- no partition is dropped while it is read

    SELECT s.snapshot_at, s.entities, s.last_id, s.dropped, s.partial, m.snapshot::text::txid_snapshot AS snapshot INTO previous
    FROM audit.snapshot AS s JOIN audit.mark AS m ON m.id = s.mark
    WHERE m.system = own_system ORDER BY s.mark DESC LIMIT 1;
    since := txid_snapshot_xmin(previous.snapshot);
    IF to_regclass('audit.entity_change_log_pruned') IS NOT NULL THEN
        EXECUTE 'SELECT coalesce(array_agg(DISTINCT k.dropped_at), ''{}''), count(*) FILTER ('
            'WHERE k.rows > 0 AND k.dropped_at <> ALL (coalesce($1, ''{}'')) AND coalesce(k.last_transaction >= $2, true)'
            ') FROM audit.entity_change_log_pruned AS k'
        INTO gone_at, gone USING previous.dropped, since;
    END IF;
    IF gone > 0 THEN
        RAISE EXCEPTION '% partitions were dropped from the log with changes that no snapshot saw: states cannot be told from it', gone
            USING ERRCODE = 'AL004', HINT = 'Ask it together with the archive that has them.';
    END IF;

    IF since IS NULL AND to_regclass('audit.entity_change_log_adopted') IS NOT NULL THEN
        EXECUTE 'SELECT count(*) FROM audit.entity_change_log_adopted AS l WHERE l.operation = $1'
            ' AND l.before_snapshot -> $2 IS DISTINCT FROM l.after_snapshot -> $2' INTO gone USING 'UPDATE'::text, 'id'::text;
        IF gone > 0 THEN
            RAISE EXCEPTION 'the adopted log names % rows only by the key that they were given: that their old key ended, it does not say', gone
                USING ERRCODE = 'AL004';
        END IF;
    END IF;

    SELECT count(*) INTO changes FROM audit.entity_change_log AS l
    WHERE since IS NULL OR (l.transaction_id >= since AND CASE WHEN l.transaction_id >= since THEN
        NOT txid_visible_in_snapshot(l.transaction_id, previous.snapshot) END);
    entities := coalesce(previous.entities, 0);
    IF always OR changes > entities THEN
        WITH moment AS MATERIALIZED (
            SELECT clock_timestamp() AS at, txid_current_snapshot() AS snapshot
        ), folds AS MATERIALIZED (
            SELECT n.nspname || '.' || c.relname AS leaf, m.nspname || '.' || r.relname AS entity_type
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_class AS r ON r.oid = pg_partition_root(c.oid)
            JOIN pg_namespace AS m ON m.oid = r.relnamespace
            WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f')
        ), tail AS MATERIALIZED (
            SELECT l.id, coalesce(f.entity_type, l.entity_type) AS entity_type, l.entity_id, l.operation, l.transaction_id,
                CASE WHEN l.transaction_id < 3 THEN false ELSE
                    coalesce(txid_visible_in_snapshot(l.transaction_id, moment.snapshot), true) END AS seen
            FROM moment CROSS JOIN audit.entity_change_log AS l LEFT JOIN folds AS f ON f.leaf = l.entity_type
            WHERE since IS NULL OR (l.transaction_id >= since AND CASE WHEN l.transaction_id >= since THEN
                NOT txid_visible_in_snapshot(l.transaction_id, previous.snapshot) END)
        ), truncated AS MATERIALIZED (
            SELECT t.entity_type, max(t.id) AS id, min(t.id) AS first_id
            FROM tail AS t WHERE t.operation = 'TRUNCATE' GROUP BY t.entity_type
        ), numbered AS (
            SELECT t.entity_type, t.entity_id, t.id, t.transaction_id, x.id AS truncated,
                row_number() OVER newest AS place, lead(t.transaction_id) OVER newest AS transaction_before
            FROM tail AS t LEFT JOIN truncated AS x ON x.entity_type = t.entity_type
            WHERE t.entity_id IS NOT NULL AND (x.id IS NULL OR t.id > x.id)
            WINDOW newest AS (PARTITION BY t.entity_type, t.entity_id ORDER BY t.id DESC)
        ), last AS MATERIALIZED (
            SELECT b.* FROM numbered AS b WHERE b.place = 1
        ), crowded AS (
            SELECT t.entity_type, t.entity_id, t.id, t.transaction_id,
                b.truncated, b.transaction_id AS last_transaction,
                CASE l.operation WHEN 'INSERT' THEN 'null' ELSE l.before_snapshot END AS before,
                CASE l.operation WHEN 'DELETE' THEN 'null' ELSE l.after_snapshot END AS after
            FROM last AS b
            JOIN tail AS t ON t.entity_type = b.entity_type AND t.entity_id = b.entity_id
            JOIN audit.entity_change_log AS l ON l.id = t.id AND l.entity_id = t.entity_id
            WHERE b.transaction_id = b.transaction_before AND (b.truncated IS NULL OR t.id > b.truncated)
                AND (since IS NULL OR l.transaction_id >= since)
        ), chained AS (
            SELECT c.*, CASE WHEN lag(c.id) OVER by_id IS NOT NULL THEN lag(c.after) OVER by_id
                WHEN c.truncated IS NOT NULL THEN 'null' ELSE p.snapshot_data END AS found
            FROM crowded AS c
            LEFT JOIN audit.entity_snapshots AS p
                ON p.entity_type = c.entity_type AND p.entity_id = c.entity_id AND p.snapshot_at = previous.snapshot_at
            WINDOW by_id AS (PARTITION BY c.entity_type, c.entity_id ORDER BY c.id)
        ), ends AS MATERIALIZED (
            SELECT c.entity_type, c.entity_id, audit.last_linked(
                array_agg(c.id ORDER BY c.id), array_agg(c.transaction_id ORDER BY c.id), array_agg(c.before ORDER BY c.id),
                array_agg(c.after ORDER BY c.id), (array_agg(c.found ORDER BY c.id))[1]
            ) AS id
            FROM chained AS c
            GROUP BY c.entity_type, c.entity_id
            HAVING bool_or(c.transaction_id = c.last_transaction AND c.found IS NOT NULL AND c.before IS DISTINCT FROM c.found)
        ), states AS MATERIALIZED (
            SELECT DISTINCT ON (b.entity_type, b.entity_id)
                b.entity_type, b.entity_id, b.id, b.transaction_id, l.operation, l.after_snapshot
            FROM last AS b
            LEFT JOIN ends AS e ON e.entity_type = b.entity_type AND e.entity_id = b.entity_id
            JOIN audit.entity_change_log AS l ON l.id = coalesce(e.id, b.id) AND l.entity_id = b.entity_id
                AND (since IS NULL OR l.transaction_id >= since)
            ORDER BY b.entity_type, b.entity_id
        ), firsts AS (
            SELECT DISTINCT ON (t.entity_type, t.entity_id) t.entity_type, t.entity_id, t.id, t.operation, t.transaction_id
            FROM tail AS t WHERE t.entity_id IS NOT NULL ORDER BY t.entity_type, t.entity_id, t.id
        ), met AS (  -- entities that a change found there, of which nothing told how they came
            SELECT f.entity_type, f.entity_id, f.operation, f.transaction_id
            FROM firsts AS f LEFT JOIN truncated AS x ON x.entity_type = f.entity_type
            WHERE f.operation IN ('UPDATE', 'DELETE') AND (x.first_id IS NULL OR f.id < x.first_id) AND NOT EXISTS (
                SELECT FROM audit.entity_snapshots AS p
                WHERE p.entity_type = f.entity_type AND p.entity_id = f.entity_id AND p.snapshot_at = previous.snapshot_at
            )
        ), early AS (  -- an INSERT whose row a trigger changed at once is logged behind that change
            SELECT f.entity_type FROM met AS f
            LEFT JOIN tail AS t
                ON t.entity_type = f.entity_type AND t.entity_id = f.entity_id AND t.transaction_id = f.transaction_id
            GROUP BY f.entity_type, f.entity_id, f.operation
            HAVING NOT (f.operation = 'UPDATE' AND coalesce(
                min(t.id) FILTER (WHERE t.operation = 'INSERT')
                    < coalesce(min(t.id) FILTER (WHERE t.operation = 'DELETE'), 9223372036854775807), false
            ))
        ), written AS (
            INSERT INTO audit.entity_snapshots (
                entity_type, entity_id, snapshot_at, snapshot_data, last_change_id, last_transaction
            )
            SELECT s.entity_type, s.entity_id, moment.at, s.after_snapshot, s.id, s.transaction_id
            FROM states AS s CROSS JOIN moment
            WHERE s.operation <> 'DELETE' AND jsonb_typeof(s.after_snapshot) = 'object'
            UNION ALL
            SELECT coalesce(f.entity_type, p.entity_type), p.entity_id, moment.at, p.snapshot_data, p.last_change_id, p.last_transaction
            FROM audit.entity_snapshots AS p
            CROSS JOIN moment
            LEFT JOIN folds AS f ON f.leaf = p.entity_type
            LEFT JOIN truncated AS x ON x.entity_type = coalesce(f.entity_type, p.entity_type)
            WHERE p.snapshot_at = previous.snapshot_at AND (x.id IS NULL OR p.last_change_id > x.id) AND NOT EXISTS (
                SELECT FROM last AS b WHERE b.entity_type = coalesce(f.entity_type, p.entity_type) AND b.entity_id = p.entity_id
            )
            RETURNING entity_id
        ), marked AS (
            INSERT INTO audit.mark (began, at, snapshot, lsn, system, timeline, database, name)
            SELECT transaction_timestamp(), moment.at, moment.snapshot::text::audit.transaction_snapshot, pg_current_wal_lsn(), own_system,
                ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer, current_database(), called
            FROM moment
            RETURNING mark.id, mark.began, mark.at, mark.snapshot, mark.lsn, mark.system, mark.timeline, mark.database, mark.name, mark.taken_by
        ), headed AS (
            INSERT INTO audit.snapshot (mark, snapshot_at, entities, changes, last_id, dropped, partial)
            SELECT m.id, m.at, (SELECT count(*) FROM written), (SELECT count(*) FROM tail),
                greatest(coalesce(previous.last_id, 0), (SELECT max(t.id) FROM tail AS t)), gone_at,
                ARRAY(SELECT unnest(previous.partial) UNION SELECT e.entity_type FROM early AS e)
            FROM marked AS m
            RETURNING snapshot.entities, snapshot.changes
        )
        SELECT m AS mark, h.entities, h.changes, odd.rows AS odd, odd.first AS odd_first, lost.rows AS lost, lost.first AS lost_first
        INTO done
        FROM marked AS m
        CROSS JOIN headed AS h
        CROSS JOIN (
            SELECT count(*) AS rows, min(s.id) AS first FROM states AS s
            WHERE NOT CASE s.operation WHEN 'DELETE' THEN true ELSE s.operation IN ('INSERT', 'UPDATE', 'SNAPSHOT')
                AND coalesce(jsonb_typeof(s.after_snapshot) = 'object', false) END
        ) AS odd
        CROSS JOIN (SELECT count(*) AS rows, min(t.id) AS first FROM tail AS t WHERE NOT t.seen) AS lost;
        IF done.lost > 0 THEN
            RAISE EXCEPTION '% changes have transaction ids that are not of this server (first id %): what comes after a snapshot could not be told', done.lost, done.lost_first
                USING ERRCODE = 'AL005';
        END IF;
        IF done.odd > 0 THEN
            RAISE EXCEPTION '% entities have a last change without the row after it (first id %): their states are not in the log as they are', done.odd, done.odd_first
                USING ERRCODE = 'AL004';
        END IF;
        kept := done.mark;
        entities := done.entities;
        changes := done.changes;
    END IF;

    removed := 0;
    IF keep IS NOT NULL THEN
        WITH old AS (
            DELETE FROM audit.snapshot AS s
            WHERE s.mark NOT IN (SELECT n.mark FROM audit.snapshot AS n ORDER BY n.mark DESC LIMIT keep)
            RETURNING s.snapshot_at
        ), emptied AS (
            DELETE FROM audit.entity_snapshots AS e USING old WHERE e.snapshot_at = old.snapshot_at
        )
        SELECT count(*) INTO removed FROM old;
    END IF;
END
$$;

DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'walks(jsonb[], jsonb[], jsonb)', 'last_linked(bigint[], bigint[], jsonb[], jsonb[], jsonb)',
        'take_snapshot(text, boolean, integer)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION audit.%s OWNER TO auditlab_owner', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION audit.%s FROM PUBLIC', signature);
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION audit.take_snapshot(text, boolean, integer) TO auditlab_archiver;
