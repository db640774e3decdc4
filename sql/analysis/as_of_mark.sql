-- The state of every live entity as a transaction snapshot saw it: after the last of its changes that was visible.
-- A change is the step at a place in its entity, from 1; place 0 is the state that was there before the log began.
-- The tables hold the entities whose visible changes come first; others are put in order anew before this is asked.
WITH seen AS (
  SELECT
    s.entity_id,
    CASE WHEN s.transaction_id < p.xmin OR (s.transaction_id < p.xmax AND r.transaction_id IS NULL) THEN s.place ELSE 0 END AS place
  FROM steps AS s
  CROSS JOIN params AS p
  LEFT JOIN running AS r ON r.transaction_id = s.transaction_id
),
reached AS (
  SELECT entity_id, max(place) AS place
  FROM seen
  GROUP BY entity_id
)
SELECT h.*
FROM history AS h
JOIN reached AS l ON l.entity_id = h.entity_id AND l.place = h.place
ORDER BY h.entity_id
