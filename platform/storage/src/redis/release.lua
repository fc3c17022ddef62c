#!lua flags=allow-oom
-- Gives slots back whose lease still stands.
-- KEYS: index.  ARGV: slot, its start and token, three by three.  Answers how many.
local released = 0
for i = 1, #ARGV, 3 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 2]) then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
    released = released + 1
  end
end
return released
