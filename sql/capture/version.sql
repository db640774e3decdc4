-- The version of the capture that these files install; audit.installation keeps when each came.
CREATE OR REPLACE FUNCTION audit.capture_version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 6';
ALTER FUNCTION audit.capture_version() OWNER TO auditlab_owner;
GRANT EXECUTE ON FUNCTION audit.capture_version() TO PUBLIC;

INSERT INTO audit.installation (version, action)
SELECT audit.capture_version(), CASE
    WHEN EXISTS (SELECT FROM audit.installation) THEN 'upgraded'
    WHEN current_setting('auditlab.adopting', true) = 'yes' THEN 'adopted'
    ELSE 'installed'
END
WHERE coalesce((SELECT max(known.version) FROM audit.installation AS known), 0) < audit.capture_version();
