-- Puts timers into buckets and takes others out. A bucket that gets anything is free to be leased again, even if it
-- is held: its holder's token no longer matches, so what was put here cannot be acknowledged unread.
-- KEYS: index, rebuild mark, then the buckets.
-- ARGV: the mark that must stand or '', then for each bucket: its slot, the slot's start, how many are put in, how
-- many are taken out, and that many pairs of offset and member. Taken out is only what has the offset told.
-- Answers 0, or -1 when the mark is gone and earlier pages with it.
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return -1
end
-- A page of a rebuild may be older than what is there: then the earlier time stays, and looks too early, which is no harm.
local mode = ARGV[1] ~= '' and 'LT' or 'CH'
local at = 2
local freed = {}
for bucket = 3, #KEYS do
  local slot, start, puts, takes = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  if puts > 0 then
    redis.call('ZADD', KEYS[bucket], mode, unpack(ARGV, at, at + puts * 2 - 1))
    freed[#freed + 1] = start
    freed[#freed + 1] = slot
    at = at + puts * 2
  end
  for _ = 1, takes do
    local offset = redis.call('ZSCORE', KEYS[bucket], ARGV[at + 1])
    if offset and tonumber(offset) == tonumber(ARGV[at]) then
      redis.call('ZREM', KEYS[bucket], ARGV[at + 1])
    end
    at = at + 2
  end
end
if #freed > 0 then
  redis.call('ZADD', KEYS[1], unpack(freed))
end
return 0
