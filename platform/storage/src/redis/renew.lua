#!lua flags=allow-oom
-- Prolongs leases that still stand.
-- KEYS: index, count of leases.
-- ARGV: now in milliseconds or '' for this server's time, how far ahead, how long leased, then slot and token, pair
-- by pair. Answers {new token, {1 or 0 for each slot}}.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local fraction = redis.call('INCR', KEYS[2]) % 1024 / 1024
local token = string.format('%.17g', now + tonumber(ARGV[2]) + tonumber(ARGV[3]) + fraction)
local held = {}
for i = 4, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], token, ARGV[i])
    held[#held + 1] = 1
  else
    held[#held + 1] = 0
  end
end
return {token, held}
