/* ECC, retired pages and remapped rows, NVLink, and the fields that only nvmlDeviceGetFieldValues gives. */
#include "stub.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef union { double real; uint ui; ulong64 ull; long long sll; int si; } value_t;
typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency_us;
    uint type;
    int code;
    value_t value;
} field_t;
typedef struct { uint id; const char *key; uint type; } field_key_t;

enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3, SIGNED_INT = 5 };

int nvmlDeviceGetEccMode(const device_t *device, uint *current, uint *pending) {
    ulong64 next;
    int code = answer_uint(device, __func__, "ecc_mode", current);
    if (code == SUCCESS) *pending = find_number(device, "ecc_mode_pending", &next) ? (uint)next : *current;
    return code;
}

int nvmlDeviceGetTotalEccErrors(const device_t *device, uint kind, uint lifetime, ulong64 *count) {
    char key[64];
    if (kind > 1 || lifetime > 1) return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "ecc_errors.%s.%s", kind ? "uncorrected" : "corrected",
             lifetime ? "aggregate" : "volatile");
    return answer_u64(device, __func__, key, count);
}

int nvmlDeviceGetRemappedRows(const device_t *device, uint *corrected, uint *uncorrected, uint *pending,
                              uint *failure) {
    ulong64 found[3];
    int code = answer_uint(device, __func__, "remapped_rows.correctable", corrected);
    if (code != SUCCESS) return code;
    if (!find_number(device, "remapped_rows.uncorrectable", &found[0]) ||
        !find_number(device, "remapped_rows.pending", &found[1]) ||
        !find_number(device, "remapped_rows.failure", &found[2]))
        return NOT_SUPPORTED;
    *uncorrected = (uint)found[0], *pending = (uint)found[1], *failure = (uint)found[2];
    return SUCCESS;
}

/* Addresses and times are made up: what counts is how many pages there are. */
static int retired(const device_t *device, const char *call, uint cause, uint *count, ulong64 *pages, ulong64 *times) {
    ulong64 total;
    if (cause > 1) return INVALID_ARGUMENT;
    int code = answer_u64(device, call, cause ? "retired_pages.double_bit" : "retired_pages.single_bit", &total);
    if (code != SUCCESS) return code;
    uint room = *count;
    *count = (uint)total;
    if (total == 0) return SUCCESS;
    if (pages == NULL || room < total) return INSUFFICIENT_SIZE;
    for (ulong64 i = 0; i < total; i++) {
        pages[i] = 0x1000 * (i + 1);
        if (times != NULL) times[i] = 1700000000 + i;
    }
    return SUCCESS;
}

int nvmlDeviceGetRetiredPages(const device_t *device, uint cause, uint *count, ulong64 *pages) {
    return retired(device, __func__, cause, count, pages, NULL);
}

int nvmlDeviceGetRetiredPages_v2(const device_t *device, uint cause, uint *count, ulong64 *pages, ulong64 *times) {
    return retired(device, __func__, cause, count, pages, times);
}

int nvmlDeviceGetRetiredPagesPendingStatus(const device_t *device, uint *pending) {
    return answer_uint(device, __func__, "retired_pages.pending", pending);
}

static int link_call(const device_t *device, const char *call, uint link) {
    ulong64 links;
    int code = answer_u64(device, call, "nvlinks", &links);
    return code == SUCCESS && link >= links ? INVALID_ARGUMENT : code;
}

int nvmlDeviceGetNvLinkState(const device_t *device, uint link, uint *active) {
    char key[64];
    ulong64 state = 1;
    int code = link_call(device, __func__, link);
    snprintf(key, sizeof key, "nvlink_state.%u", link);
    if (code == SUCCESS) find_number(device, key, &state);
    *active = (uint)state;
    return code;
}

int nvmlDeviceGetNvLinkErrorCounter(const device_t *device, uint link, uint counter, ulong64 *count) {
    static const char *const KINDS[] = {"replay", "recovery", "crc_flit", "crc_data", "ecc_data"};
    char key[64];
    *count = 0;
    if (counter >= sizeof KINDS / sizeof *KINDS) return INVALID_ARGUMENT;
    int code = link_call(device, __func__, link);
    snprintf(key, sizeof key, "nvlink_errors.%u.%s", link, KINDS[counter]);
    if (code == SUCCESS) find_number(device, key, count);
    return code;
}

/* Bytes of a link are an even share of the device's; scope 2^32-1 is all links. The unit is KiB. */
static bool nvlink_bytes(const device_t *device, uint scope, const char *key, ulong64 *value) {
    ulong64 links = 0;
    if (!find_number(device, key, value) || !find_number(device, "nvlinks", &links) || links == 0) return false;
    if (scope != UINT_MAX && scope >= links) return false;
    if (scope != UINT_MAX) *value /= links;
    return true;
}

static const field_key_t FIELDS[] = {
    {1, "ecc_mode", UNSIGNED_INT}, {3, "ecc_errors.corrected.volatile", UNSIGNED_LONG_LONG},
    {4, "ecc_errors.uncorrected.volatile", UNSIGNED_LONG_LONG},
    {5, "ecc_errors.corrected.aggregate", UNSIGNED_LONG_LONG},
    {6, "ecc_errors.uncorrected.aggregate", UNSIGNED_LONG_LONG}, {29, "retired_pages.single_bit", UNSIGNED_INT},
    {30, "retired_pages.double_bit", UNSIGNED_INT}, {31, "retired_pages.pending", UNSIGNED_INT},
    {74, "violation_ns.power", UNSIGNED_LONG_LONG}, {75, "violation_ns.thermal", UNSIGNED_LONG_LONG},
    {76, "violation_ns.sync_boost", UNSIGNED_LONG_LONG}, {77, "violation_ns.board_limit", UNSIGNED_LONG_LONG},
    {78, "violation_ns.low_utilization", UNSIGNED_LONG_LONG}, {79, "violation_ns.reliability", UNSIGNED_LONG_LONG},
    {80, "violation_ns.app_clocks", UNSIGNED_LONG_LONG}, {81, "violation_ns.base_clocks", UNSIGNED_LONG_LONG},
    {82, "temperature_memory_celsius", UNSIGNED_INT}, {83, "energy_mj", UNSIGNED_LONG_LONG},
    {91, "nvlinks", UNSIGNED_INT}, {94, "pcie_replays", UNSIGNED_INT}, {138, "nvlink_kib.tx", UNSIGNED_LONG_LONG},
    {139, "nvlink_kib.rx", UNSIGNED_LONG_LONG}, {142, "remapped_rows.correctable", UNSIGNED_INT},
    {143, "remapped_rows.uncorrectable", UNSIGNED_INT}, {144, "remapped_rows.pending", UNSIGNED_INT},
    {145, "remapped_rows.failure", UNSIGNED_INT}, {185, "power_mw", UNSIGNED_INT}, {186, "power_mw", UNSIGNED_INT},
    {189, "power_default_limit_mw", UNSIGNED_INT}, {190, "power_limit_mw", UNSIGNED_INT},
    {193, "temperature_tlimit_celsius.shutdown", SIGNED_INT}, {194, "temperature_tlimit_celsius.slowdown", SIGNED_INT},
    {195, "temperature_tlimit_celsius.memory_max", SIGNED_INT}, {196, "temperature_tlimit_celsius.gpu_max", SIGNED_INT},
    {197, "pcie_bytes.tx", UNSIGNED_LONG_LONG}, {198, "pcie_bytes.rx", UNSIGNED_LONG_LONG},
};

/* A field is what `field.<id>` says, else what the key of the same figure says; `return.field.<id>` is its error. */
static void fill(const device_t *device, field_t *field) {
    char key[64];
    ulong64 value, code;
    field->timestamp = 0, field->latency_us = 1, field->code = NOT_SUPPORTED, field->type = UNSIGNED_LONG_LONG;
    memset(&field->value, 0, sizeof field->value);
    snprintf(key, sizeof key, "return.field.%u", field->field);
    if (find_number(device, key, &code) && code != SUCCESS) {
        field->code = (int)code;
        return;
    }
    snprintf(key, sizeof key, "field.%u", field->field);
    bool known = find_number(device, key, &value);
    for (size_t i = 0; !known && i < sizeof FIELDS / sizeof *FIELDS; i++) {
        if (FIELDS[i].id != field->field) continue;
        bool link = field->field == 138 || field->field == 139;
        known = link ? nvlink_bytes(device, field->scope, FIELDS[i].key, &value)
                     : find_number(device, FIELDS[i].key, &value);
        field->type = FIELDS[i].type;
    }
    if (!known) return;
    field->code = SUCCESS;
    if (field->type == UNSIGNED_LONG_LONG) field->value.ull = value;
    else field->value.ui = (uint)value;
}

int nvmlDeviceGetFieldValues(const device_t *device, int count, field_t *fields) {
    int code = begin(device, __func__);
    for (int i = 0; code == SUCCESS && i < count; i++) fill(device, &fields[i]);
    return code;
}
