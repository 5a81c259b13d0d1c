-- The rules of batches/engine/pace.py, for all workers together: on Redis' clock, all or nothing.
-- Keep the two alike, line by line; tests/test_rate_limits.py compares them.
--
-- KEYS[1]: the state of one model of one provider. ARGV[1]: JSON, {"told": {unit: [rate, burst]},
-- "now": seconds or null, "news": [[operation, ...], ...], "reserve": {unit: amount} or null}.
-- Returns JSON: {"wait", "booked", "epoch", "free", "paused", "limits": {unit: [rate, burst]}}.

local FIRST_CALLS, CALLS_PER_REPLY, CALLS_PER_SECOND = 50, 3, 250
local REPLIES_TO_BE_FREE, LOOK_AGAIN_S, FARTHEST_S, LEAST_RATE = 500, 0.01, 5, 0.5
local LEAST_SPAN_S, CUT, LEAST_CALLS = 0.5, 0.5, 4
local FEW_CALLS, MOST_ODD, FREE_S, ENOUGH, TOO_MANY, RELAPSE = 30, 5, 60, 10, 0.3, 50
local EARLY_GROWTH, GROWTH, FAST_GROWTH, FORGOTTEN = 1.5, 0.01, 1e-4, 20
local BELIED, SURPRISE, LEAST_SHRINK = 0.9, 0.1, 1 / 64
local KEPT_S = 3600
local UNITS = {'requests', 'tokens'}

local asked = cjson.decode(ARGV[1])
local told = asked.told
local now = asked.now
if now == cjson.null or now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function new_bucket()
  return {full_at = 0, rate = 0, burst = 0, shrink = 1, learned = 0, proven = 0, cut_at = 0,
          since = now, counted = 0, counted_from = 0, emptied_in = 0, odd = 0, free_until = 0,
          misses = 0}
end

local stored = redis.call('GET', KEYS[1])
local pace = stored and cmsgpack.unpack(stored)
  or {epoch = 0, replies = 0, paused_until = 0, requests = new_bucket(), tokens = new_bucket()}

local function learned_rate(bucket)
  if bucket.learned == 0 then return 0 end
  local passed = math.max(now - bucket.cut_at, 0)
  local growth
  if bucket.proven == 1 then
    growth = 1 + GROWTH * passed + FAST_GROWTH * passed ^ 3
  else
    growth = EARLY_GROWTH ^ math.min(passed, 60)
  end
  return growth < FORGOTTEN and bucket.learned * growth or 0
end

-- The limit that was told or announced: its rate and burst, or nil.
local function known_limit(unit)
  local bucket, given = pace[unit], told[unit]
  if given then return given[1], given[2] end
  if bucket.rate > 0 then return bucket.rate, bucket.burst end
  return nil
end

local function limit_of(unit)
  local bucket = pace[unit]
  local rate, burst = known_limit(unit)
  local learned = learned_rate(bucket)
  if learned > 0 and (rate == nil or learned < rate) then
    rate, burst = learned, rate and burst * learned / rate or learned
  end
  if rate == nil then return nil end
  return rate, math.max(burst * bucket.shrink, math.min(burst, 1))
end

local function take(unit, amount)
  local bucket = pace[unit]
  local rate = limit_of(unit)
  bucket.counted = bucket.counted + amount
  if rate then bucket.full_at = math.max(bucket.full_at, now) + amount / rate end
end

local function lower(bucket, level, rate, burst, at)
  bucket.full_at = math.max(bucket.full_at, at + (burst - level) / rate)
end

local function begin(bucket)
  bucket.since, bucket.counted, bucket.counted_from = now, 0, bucket.emptied_in
end

local function miss(bucket, amount)
  bucket.misses = bucket.misses + 1
  if bucket.misses >= ENOUGH and bucket.misses > TOO_MANY * bucket.counted / amount then
    bucket.free_until, bucket.odd = 0, -RELAPSE
  end
end

local function is_free(bucket, calls)
  bucket.odd = calls < FEW_CALLS and bucket.odd + 1 or 0
  if bucket.odd < MOST_ODD then return false end
  bucket.odd, bucket.misses, bucket.free_until = 0, 0, now + FREE_S
  return true
end

local function pass(bucket, amount, pause_s)
  if pause_s > 0 then
    bucket.since, bucket.counted = bucket.since + pause_s, bucket.counted - amount
  end
end

local function learn(bucket, rate, amount, pause_s)
  if now < bucket.free_until then return miss(bucket, amount) end
  if rate == nil then
    local measured = bucket.counted / math.max(now - bucket.since, 1)
    bucket.learned = math.max(CUT * measured, LEAST_RATE * amount)
    bucket.proven = 0
    bucket.full_at = now
    begin(bucket)
  elseif now - bucket.cut_at >= LEAST_SPAN_S then
    local measured = bucket.counted / math.max(now - bucket.since, LEAST_SPAN_S)
    bucket.learned = math.min(rate, math.max(measured, CUT * rate))
    if bucket.counted >= LEAST_CALLS * amount then
      bucket.proven = is_free(bucket, bucket.counted / amount) and 0 or 1
      begin(bucket)
    end
  else
    return pass(bucket, amount, pause_s)
  end
  bucket.cut_at = now + pause_s
  pass(bucket, amount, pause_s)
end

local function doubt(bucket, rate, burst, amount, pause_s)
  local span = now - bucket.since
  local long_enough = span >= burst / rate + LEAST_SPAN_S
  if long_enough and bucket.counted >= LEAST_CALLS * amount then
    local measured = bucket.counted / span
    if measured < BELIED * rate then
      local held = learned_rate(bucket)
      held = held > 0 and math.min(held, rate) or rate
      bucket.learned, bucket.proven = math.max(measured, CUT * held), 1
      bucket.cut_at = now + pause_s
    end
    begin(bucket)
  end
  pass(bucket, amount, pause_s)
end

local function refuse(unit, amount, epoch, pause_s)
  local bucket = pace[unit]
  local rate, burst = limit_of(unit)
  bucket.emptied_in = epoch + 1
  if epoch >= bucket.counted_from then bucket.counted = bucket.counted - amount end
  if rate then
    local level = burst - (math.max(bucket.full_at, now) - now) * rate
    if level > math.max(1, SURPRISE * burst) then
      bucket.shrink = math.max(bucket.shrink / 2, LEAST_SHRINK)
    end
  end
  local known_rate, known_burst = known_limit(unit)
  if known_rate then
    doubt(bucket, known_rate, known_burst, amount, pause_s)
  else
    learn(bucket, rate, amount, pause_s)
  end
  rate, burst = limit_of(unit)
  if rate then lower(bucket, 0, rate, burst, now + pause_s) end
end

local function refuse_late(bucket, amount, epoch)
  if epoch >= bucket.counted_from then bucket.counted = bucket.counted - amount end
  if now < bucket.free_until then miss(bucket, amount) end
end

local news = {}

function news.sent(unit, amount)
  take(unit, amount)
end

function news.give_back(unit, amount, epoch)
  local bucket = pace[unit]
  local rate = limit_of(unit)
  if epoch >= bucket.counted_from then bucket.counted = bucket.counted - amount end
  if rate and epoch >= bucket.emptied_in then
    bucket.full_at = math.max(bucket.full_at, now) - amount / rate
  end
end

function news.replied(count)
  pace.replies = pace.replies + count
end

function news.refused(unit, amount, epoch, pause_s)
  pace.paused_until = math.max(pace.paused_until, now + pause_s)
  if epoch == pace.epoch then
    refuse(unit, amount, epoch, pause_s)
    pace.epoch = pace.epoch + 1
  else
    refuse_late(pace[unit], amount, epoch)
  end
end

function news.announce(unit, rate, burst, left)
  local bucket = pace[unit]
  if bucket.rate == 0 then
    local sent_until = bucket.since + bucket.counted / rate
    bucket.full_at = told[unit] and math.max(bucket.full_at, sent_until) or sent_until
    bucket.learned, bucket.shrink = 0, 1
  end
  bucket.rate, bucket.burst = rate, burst
  local given = told[unit]
  told[unit] = nil
  local held_rate, held_burst = limit_of(unit)
  told[unit] = given
  lower(bucket, math.min(left, burst), held_rate, held_burst, now)
end

local function reserve(amounts)
  if pace.paused_until > now then return pace.paused_until - now, false, false end
  local limited, wait, guessed = false, 0, 0
  for _, unit in ipairs(UNITS) do
    local rate, burst = limit_of(unit)
    if rate then
      limited = true
      local need = math.min(amounts[unit] or 0, burst)
      local full_at = math.max(pace[unit].full_at, now)
      local due = full_at - (burst - need) / rate - now
      wait = math.max(wait, due)
      if known_limit(unit) == nil then guessed = math.max(guessed, due) end
    end
  end
  local earned = CALLS_PER_REPLY * pace.replies + CALLS_PER_SECOND * (now - pace.requests.since)
  local is_new = pace.replies < REPLIES_TO_BE_FREE
    and pace.requests.counted >= FIRST_CALLS + earned
  if not limited and is_new then return LOOK_AGAIN_S, false, false end
  if guessed > FARTHEST_S then
    return math.min(guessed - FARTHEST_S, FARTHEST_S), false, false
  end
  for _, unit in ipairs(UNITS) do take(unit, amounts[unit] or 0) end
  return wait, true, not limited and pace.replies >= REPLIES_TO_BE_FREE
end

for _, item in ipairs(asked.news) do
  news[item[1]](item[2], item[3], item[4], item[5])
end
local wait, booked, free = 0, false, false
if asked.reserve and asked.reserve ~= cjson.null then
  wait, booked, free = reserve(asked.reserve)
end
redis.call('SET', KEYS[1], cmsgpack.pack(pace), 'EX', KEPT_S)

local limits = {}
for _, unit in ipairs(UNITS) do
  local rate, burst = limit_of(unit)
  if rate then limits[unit] = {rate, burst} end
end
return cjson.encode({wait = wait, booked = booked, epoch = pace.epoch, free = free,
                     paused = math.max(pace.paused_until - now, 0), limits = limits})
