-- The change log, trigger and two tables as the published page has them, restated: what a log by others looks like.
CREATE SCHEMA audit;
CREATE SCHEMA orders;

CREATE TABLE audit.entity_change_log (
    id             bigserial PRIMARY KEY,
    entity_type    text NOT NULL,
    entity_id      uuid NOT NULL,
    operation      text NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    changed_by     uuid,
    changed_at     timestamptz NOT NULL DEFAULT now(),
    before_snapshot jsonb,
    after_snapshot jsonb,
    changed_fields jsonb,
    metadata       jsonb,
    transaction_id bigint,
    correlation_id uuid,
    CONSTRAINT valid_snapshots CHECK (
        CASE operation
            WHEN 'INSERT' THEN before_snapshot IS NULL
            WHEN 'DELETE' THEN after_snapshot IS NULL
            WHEN 'UPDATE' THEN before_snapshot IS NOT NULL AND after_snapshot IS NOT NULL
        END
    )
);

CREATE INDEX idx_entity_change_log_entity ON audit.entity_change_log (entity_type, entity_id, changed_at DESC);
CREATE INDEX idx_entity_change_log_user ON audit.entity_change_log (changed_by, changed_at DESC);
CREATE INDEX idx_entity_change_log_time ON audit.entity_change_log (changed_at DESC);
CREATE INDEX idx_entity_change_log_tx ON audit.entity_change_log (transaction_id);
CREATE INDEX idx_entity_change_log_correlation ON audit.entity_change_log (correlation_id);
CREATE INDEX idx_entity_change_log_before ON audit.entity_change_log USING gin (before_snapshot);
CREATE INDEX idx_entity_change_log_after ON audit.entity_change_log USING gin (after_snapshot);

CREATE FUNCTION audit.log_entity_change() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    differing jsonb;
    actor uuid := nullif(current_setting('app.current_user_id', true), '')::uuid;
    correlation uuid := nullif(current_setting('app.correlation_id', true), '')::uuid;
    entity uuid;
    before jsonb;
    after jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        entity := OLD.id;
    ELSE
        entity := NEW.id;
        after := to_jsonb(NEW);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        before := to_jsonb(OLD);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(field.key, field.value) INTO differing
        FROM jsonb_each(to_jsonb(NEW)) AS field
        WHERE field.value IS DISTINCT FROM (to_jsonb(OLD) -> field.key);
    END IF;
    INSERT INTO audit.entity_change_log (
        entity_type, entity_id, operation, changed_by, before_snapshot, after_snapshot,
        changed_fields, transaction_id, correlation_id
    ) VALUES (
        TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, entity, TG_OP, actor, before, after,
        differing, txid_current(), correlation
    );
    RETURN NULL;
END
$body$;

CREATE TABLE orders.orders (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id uuid,
    total       numeric(20, 2) NOT NULL DEFAULT 0,
    status      text NOT NULL DEFAULT 'draft',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders.order_items (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id   uuid NOT NULL REFERENCES orders.orders (id) ON DELETE CASCADE,
    product_id uuid,
    quantity   integer NOT NULL DEFAULT 1,
    price      numeric(20, 2) NOT NULL DEFAULT 0,
    total      numeric(20, 2) NOT NULL DEFAULT 0
);

CREATE TRIGGER trg_orders_change_log
    AFTER INSERT OR UPDATE OR DELETE ON orders.orders
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();

CREATE TRIGGER trg_order_items_change_log
    AFTER INSERT OR UPDATE OR DELETE ON orders.order_items
    FOR EACH ROW EXECUTE FUNCTION audit.log_entity_change();
