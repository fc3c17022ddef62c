#!lua flags=allow-oom
-- Leases slots whose score is within the horizon by giving them all one new score, beyond it. Never looks into a
-- bucket, so its work is in the slots alone, whatever they hold.
-- KEYS: index, loaded mark, count of leases.
-- ARGV: now in milliseconds or '' for this server's time, how far ahead, how long leased, the most slots.
-- Answers {whether loaded, now, token, {slot, old score, ..}, score of the new head or false}.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local horizon = now + tonumber(ARGV[2])
-- A lease that ends at the horizon is over, whatever its fraction.
local beyond = '(' .. string.format('%.0f', horizon + 1)
local slots = redis.call('ZRANGE', KEYS[1], '-inf', beyond, 'BYSCORE', 'LIMIT', 0, ARGV[4], 'WITHSCORES')
local token = ''
if #slots > 0 then
  -- Two leases never end at the same fraction of the same millisecond.
  local fraction = redis.call('INCR', KEYS[3]) % 1024 / 1024
  token = string.format('%.17g', horizon + tonumber(ARGV[3]) + fraction)
  local scores = {}
  for i = 1, #slots, 2 do
    scores[i] = token
    scores[i + 1] = slots[i]
  end
  redis.call('ZADD', KEYS[1], unpack(scores))
end
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {redis.call('EXISTS', KEYS[2]), string.format('%.0f', now), token, slots, head[2] or false}
