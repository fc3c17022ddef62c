#!lua flags=allow-oom
-- Takes fired timers out of a slot. A member that has another offset by now was put there anew and stays.
-- KEYS: index, bucket.
-- ARGV: slot, its start, token, 'part', 'rest' or 'whole', then offset and member, pair by pair.
-- Answers 1 while the lease stands, else 0.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = score and tonumber(score) == tonumber(ARGV[3])
if held and ARGV[4] == 'whole' then
  redis.call('UNLINK', KEYS[2])
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 1
end
for i = 5, #ARGV, 2 do
  local offset = redis.call('ZSCORE', KEYS[2], ARGV[i + 1])
  if offset and tonumber(offset) == tonumber(ARGV[i]) then
    redis.call('ZREM', KEYS[2], ARGV[i + 1])
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif held and ARGV[4] == 'rest' then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
return held and 1 or 0
