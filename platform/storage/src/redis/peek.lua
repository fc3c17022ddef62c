-- What is due first in a shard.
-- KEYS: due, whole.  Answers {0, score or false}, or {-1, false} when the shard is not whole.
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {-1, false}
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, head[2] or false}
