-- When the first mark of a name ($1) was made; null where there is none.
SELECT min(m.at) AS at FROM audit.mark AS m WHERE m.name = $1::text
