-- Leases what is due in a shard by moving it to the end of the lease, in one step.
-- KEYS: due, whole.  ARGV: the highest score that is due, the lease's score, the most members.
-- Answers {0, {{member, score}, ..}, score of the head afterwards or false}, or {-1, {}, false} when not whole.
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {-1, {}, false}
end
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local claimed = {}
local moves = {}
for i = 1, #due, 2 do
  claimed[#claimed + 1] = {due[i], due[i + 1]}
  moves[#moves + 1] = ARGV[2]
  moves[#moves + 1] = due[i]
end
if #moves > 0 then
  redis.call('ZADD', KEYS[1], unpack(moves))
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, claimed, head[2] or false}
