#!lua flags=allow-oom
-- Takes fired timers out of a slot. A member that has another offset by now was put there anew and stays.
-- KEYS: index, bucket.
-- ARGV: slot, its start, token, then 'whole', or 'part' or 'rest' with offset and member, pair by pair.
-- Answers 1 while the lease stands, else 0.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = score and tonumber(score) == tonumber(ARGV[3])
if ARGV[4] == 'whole' then
  if held then
    redis.call('UNLINK', KEYS[2])
    redis.call('ZREM', KEYS[1], ARGV[1])
  end
  return held and 1 or 0
end
local members = {}
for i = 6, #ARGV, 2 do
  members[#members + 1] = ARGV[i]
end
if #members > 0 then
  local fired = {}
  for i, offset in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(members))) do
    if offset and tonumber(offset) == tonumber(ARGV[3 + 2 * i]) then
      fired[#fired + 1] = members[i]
    end
  end
  if #fired > 0 then
    redis.call('ZREM', KEYS[2], unpack(fired))
  end
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif held and ARGV[4] == 'rest' then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
return held and 1 or 0
