-- The log folded in its order, up to an instant: the last change of each entity; a DELETE leaves nothing.
SELECT f.*
FROM (
  SELECT s.*, row_number() OVER (PARTITION BY s.entity_id ORDER BY s.turn DESC, s.part DESC) AS backwards
  FROM steps AS s
  CROSS JOIN params AS p
  WHERE (p.at IS NULL OR s.effective IS NULL OR s.effective <= p.at) AND (p.entity_id IS NULL OR s.entity_id = p.entity_id)
) AS f
WHERE f.backwards = 1 AND f.live
ORDER BY f.entity_id
