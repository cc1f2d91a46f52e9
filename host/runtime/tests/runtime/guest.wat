;; A guest that answers each event with a span and does what the first byte of a chunk says.
;; $DESCRIBE, $RECOGNISE and $START are replaced by the test.
(module
  (memory (export "memory") 72)
  (global $bump (mut i32) (i32.const 0x400000))
  (global $calls (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $bump) (i32.sub (local.get 2) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get 2))))
    (global.set $bump (i32.add (local.get $at) (local.get 3)))
    (block $enough (loop $more
      (br_if $enough (i32.le_u (global.get $bump) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
      (br $more)))
    (local.get $at))

  (func $reset (param i32) (global.set $bump (i32.const 0x400000)))
  (export "cabi_post_describe" (func $reset))
  (export "cabi_post_recognise" (func $reset))
  (export "cabi_post_process" (func $reset))

  (func $slice (param $at i32) (param $start i32) (param $len i32)
    (i32.store (local.get $at) (local.get $start))
    (i32.store offset=4 (local.get $at) (local.get $len)))

  (func (export "describe") (result i32)
    (call $describe_hook)
    (call $slice (i32.const 128) (i32.const 1024) (i32.const $NAME_LEN))
    (call $slice (i32.const 136) (i32.const 1056) (i32.const 5))
    (call $slice (i32.const 144) (i32.const 1072) (i32.const 1))
    (call $slice (i32.const 1072) (i32.const 1024) (i32.const 4))
    (call $slice (i32.const 152) (i32.const 0) (i32.const 0))
    (call $slice (i32.const 160) (i32.const 0) (i32.const 0))
    (call $slice (i32.const 168) (i32.const 0) (i32.const 0))
    (i32.const 128))
  (data (i32.const 1024) "$NAME")
  (data (i32.const 1056) "1.0.0")
  (func $describe_hook $DESCRIBE)
  (func $start_hook $START)
  (start $start_hook)

  ;; no to what begins with `-`, need-more below three bytes, else yes
  (func (export "recognise") (param $client i32) (param $client_len i32) (param $server i32) (param $server_len i32)
                             (param i32 i32 i32 i32) (result i32)
    (local $verdict i32)
    (local $first i32)
    (local.set $first (i32.load8_u (select (local.get $client) (local.get $server) (local.get $client_len))))
    (if (i32.eq (local.get $first) (i32.const 33)) (then unreachable)) ;; '!'
    (local.set $verdict (i32.const 2))
    (if (i32.lt_u (i32.add (local.get $client_len) (local.get $server_len)) (i32.const 3))
      (then (local.set $verdict (i32.const 1))))
    (if (i32.eq (local.get $first) (i32.const 45)) (then (local.set $verdict (i32.const 0))))
    (i32.store8 (i32.const 64) (local.get $verdict))
    (i32.store8 (i32.const 65) (i32.const 50))
    (i32.store8 (i32.const 66) (i32.const 0))
    (i32.store8 (i32.const 67) (i32.const 0))
    (i32.const 64))

  (func $recurse (param i64 i64 i64 i64) (result i64)
    (i64.add (call $recurse (local.get 1) (local.get 0) (local.get 3) (local.get 2)) (local.get 0)))

  (func (export "process") (param $now i64) (param $events i32) (param $count i32) (param $facts i32) (param i32)
                           (param $bytes i32) (param $bytes_len i32) (result i32)
    (local $event i32) (local $end i32) (local $span i32) (local $request i32)
    (local $fact i32) (local $last_fact i32)
    (local $kind i32) (local $first i32) (local $ask i32) (local $position i64) (local $spans i32) (local $n i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $span (i32.const 0x100000))
    (local.set $request (i32.const 0x300000))
    (local.set $event (local.get $events))
    (local.set $end (i32.add (local.get $events) (i32.mul (local.get $count) (i32.const 40))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $event) (local.get $end)))
      (local.set $kind (i32.load8_u offset=36 (local.get $event)))
      (local.set $first (i32.const 0))
      (local.set $n (i32.const 1))
      (memory.fill (local.get $span) (i32.const 0) (i32.const 96))
      (i64.store (local.get $span) (i64.load (local.get $event)))
      (i64.store offset=8 (local.get $span) (i64.load offset=8 (local.get $event)))
      (i64.store offset=32 (local.get $span) (i64.load offset=8 (local.get $event)))
      (i64.store offset=40 (local.get $span) (i64.load offset=16 (local.get $event)))
      (i32.store8 offset=64 (local.get $span) (i32.load8_u offset=37 (local.get $event)))
      (i32.store16 offset=68 (local.get $span) (local.get $kind))
      ;; cause of the event: the status of the span says restart (8)
      (if (i32.eq (i32.load8_u offset=38 (local.get $event)) (i32.const 8))
        (then (i32.store8 offset=66 (local.get $span) (i32.const 2))))
      ;; a connection that is opened with the fact mid-stream (2) has the status ok
      (if (i32.eqz (local.get $kind))
        (then
          (local.set $fact (i32.add (local.get $facts)
            (i32.mul (i32.wrap_i64 (i64.load offset=16 (local.get $event))) (i32.const 24))))
          (local.set $last_fact (i32.add (local.get $fact)
            (i32.mul (i32.wrap_i64 (i64.load offset=24 (local.get $event))) (i32.const 24))))
          (block $told (loop $next_fact
            (br_if $told (i32.ge_u (local.get $fact) (local.get $last_fact)))
            (if (i32.eq (i32.load16_u (local.get $fact)) (i32.const 2))
              (then (i32.store8 offset=66 (local.get $span) (i32.const 1))))
            (local.set $fact (i32.add (local.get $fact) (i32.const 24)))
            (br $next_fact)))))
      (if (i32.eq (local.get $kind) (i32.const 1))
        (then
          (local.set $first (i32.load8_u (i32.add (local.get $bytes) (i32.load offset=32 (local.get $event)))))
          (call $slice (i32.add (local.get $span) (i32.const 72))
            (i32.load offset=32 (local.get $event))
            (select (i32.wrap_i64 (i64.load offset=24 (local.get $event))) (i32.const 400)
                    (i64.lt_u (i64.load offset=24 (local.get $event)) (i64.const 400))))))
      (if (i32.eq (local.get $first) (i32.const 84)) (then unreachable)) ;; T
      (if (i32.eq (local.get $first) (i32.const 76)) (then (loop $forever (br $forever)))) ;; L
      (if (i32.eq (local.get $first) (i32.const 77)) ;; M
        (then (loop $grow
          (br_if $grow (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
      (if (i32.eq (local.get $first) (i32.const 82)) ;; R
        (then (drop (call $recurse (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))
      (if (i32.eq (local.get $first) (i32.const 83)) ;; S: a slice outside
        (then (i32.store offset=76 (local.get $span) (i32.const 0x7fffffff))))
      (if (i32.eq (local.get $first) (i32.const 67)) ;; C: a connection it does not have
        (then (i64.store (local.get $span) (i64.const 0x1234))))
      (if (i32.eq (local.get $first) (i32.const 74)) ;; J: a time that cannot be
        (then (i64.store offset=32 (local.get $span) (i64.const 0x7fffffffffffffff))))
      (if (i32.eq (local.get $first) (i32.const 71)) ;; G: a list of 1 GiB
        (then (local.set $spans (i32.const 0x40000000))))
      (if (i32.eq (local.get $first) (i32.const 66)) ;; B: many spans
        (then (local.set $n (i32.const 6000))))
      (local.set $position (i64.add (i64.load offset=16 (local.get $event)) (i64.load offset=24 (local.get $event))))
      (local.set $ask (i32.const 0))
      (if (i32.eq (local.get $first) (i32.const 75)) ;; K: consumes what is not there
        (then (local.set $position (i64.add (local.get $position) (i64.const 1)))))
      (if (i32.eq (local.get $first) (i32.const 78)) ;; N: consumes nothing
        (then (local.set $position (i64.const 0))))
      (if (i32.eq (local.get $first) (i32.const 69)) ;; E: needs 20 bytes from here
        (then (local.set $ask (i32.const 1))
              (local.set $position (i64.add (i64.load offset=16 (local.get $event)) (i64.const 20)))))
      (if (i32.eq (local.get $first) (i32.const 72)) ;; H: skips 100,000 bytes
        (then (local.set $ask (i32.const 2))
              (local.set $position (i64.add (local.get $position) (i64.const 100000)))))
      (if (i32.eq (local.get $first) (i32.const 87)) ;; W: wants to be woken in 10 ns
        (then (local.set $ask (i32.const 3))
              (local.set $position (i64.add (i64.load offset=8 (local.get $event)) (i64.const 10)))))
      (if (i32.eq (local.get $first) (i32.const 73)) (then (local.set $ask (i32.const 4)))) ;; I
      (if (i32.eq (local.get $first) (i32.const 85)) (then (local.set $ask (i32.const 5)))) ;; U
      (if (i32.eq (local.get $first) (i32.const 90)) (then (local.set $ask (i32.const 6)))) ;; Z
      (loop $again
        (if (i32.gt_u (local.get $n) (i32.const 1))
          (then (memory.copy (i32.add (local.get $span) (i32.const 96)) (local.get $span) (i32.const 96))))
        (local.set $span (i32.add (local.get $span) (i32.const 96)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $again (local.get $n)))
      (if (i32.or (i32.eq (local.get $kind) (i32.const 1)) (i32.eq (local.get $kind) (i32.const 2)))
        (then
          (memory.fill (local.get $request) (i32.const 0) (i32.const 48))
          (i64.store (local.get $request) (i64.load (local.get $event)))
          (i64.store offset=8 (local.get $request) (local.get $position))
          (i32.store8 offset=24 (local.get $request) (local.get $ask))
          (i32.store8 offset=25 (local.get $request) (i32.load8_u offset=37 (local.get $event)))
          (local.set $request (i32.add (local.get $request) (i32.const 48)))))
      (local.set $event (i32.add (local.get $event) (i32.const 40)))
      (br $next)))
    (if (i32.eqz (local.get $spans))
      (then (local.set $spans (i32.div_u (i32.sub (local.get $span) (i32.const 0x100000)) (i32.const 96)))))
    (call $slice (i32.const 16) (i32.const 0x100000) (local.get $spans))
    (call $slice (i32.const 24) (i32.const 0) (i32.const 0))
    (call $slice (i32.const 32) (i32.const 0x300000)
      (i32.div_u (i32.sub (local.get $request) (i32.const 0x300000)) (i32.const 48)))
    (call $slice (i32.const 40) (local.get $bytes) (local.get $bytes_len))
    (i32.store8 (i32.const 48) (i32.const 0))
    (i32.const 16)))
