/* What a device does: load, memory, clocks, power, temperature, fans, PCIe. */
#include "stub.h"

#include <stdio.h>
#include <string.h>

typedef struct { uint gpu, memory; } utilization_t;
typedef struct { ulong64 total, free, used; } memory_t;
typedef struct { uint version; ulong64 total, reserved, free, used; } memory_v2_t;
typedef struct { uint version, sensor; int celsius; } temperature_t;
typedef struct { uint version; int margin; } margin_t;
typedef struct { ulong64 reference, violation; } violation_t;

enum { MEMORY_V2 = 0x02000028, TEMPERATURE_V1 = 0x100000C, MARGIN_V1 = 0x1000008 };

static int known(const char *const *names, size_t count, uint which, const char *prefix, char *key) {
    if (which >= count || names[which] == NULL) return INVALID_ARGUMENT;
    snprintf(key, 64, "%s%s", prefix, names[which]);
    return SUCCESS;
}
#define NAME_OF(names, which, prefix, key) known(names, sizeof names / sizeof *names, which, prefix, key)

int nvmlDeviceGetUtilizationRates(const device_t *device, utilization_t *rates) {
    ulong64 memory;
    int code = answer_uint(device, __func__, "utilization_gpu_percent", &rates->gpu);
    if (code == SUCCESS && !find_number(device, "utilization_memory_percent", &memory)) return NOT_SUPPORTED;
    if (code == SUCCESS) rates->memory = (uint)memory;
    return code;
}

static int media(const device_t *device, const char *call, const char *key, uint *percent, uint *period_us) {
    *period_us = 167000;
    return answer_uint(device, call, key, percent);
}

int nvmlDeviceGetEncoderUtilization(const device_t *device, uint *percent, uint *period_us) {
    return media(device, __func__, "utilization_encoder_percent", percent, period_us);
}

int nvmlDeviceGetDecoderUtilization(const device_t *device, uint *percent, uint *period_us) {
    return media(device, __func__, "utilization_decoder_percent", percent, period_us);
}

static int memory(const device_t *device, const char *call, memory_v2_t *found) {
    int code = answer_u64(device, call, "memory_total_bytes", &found->total);
    if (code != SUCCESS) return code;
    bool all = find_number(device, "memory_used_bytes", &found->used) &&
               find_number(device, "memory_free_bytes", &found->free);
    if (!find_number(device, "memory_reserved_bytes", &found->reserved)) found->reserved = 0;
    return all ? SUCCESS : NOT_SUPPORTED;
}

/* The old call counts the reserved part as used. */
int nvmlDeviceGetMemoryInfo(const device_t *device, memory_t *found) {
    memory_v2_t now = {0};
    int code = memory(device, __func__, &now);
    *found = (memory_t){now.total, now.free, now.used + now.reserved};
    return code;
}

int nvmlDeviceGetMemoryInfo_v2(const device_t *device, memory_v2_t *found) {
    return found->version == MEMORY_V2 ? memory(device, __func__, found) : VERSION_MISMATCH;
}

static const char *const CLOCKS[] = {"graphics", "sm", "memory", "video"};

int nvmlDeviceGetClockInfo(const device_t *device, uint clock, uint *megahertz) {
    char key[64];
    if (NAME_OF(CLOCKS, clock, "clock_mhz.", key) != SUCCESS) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, key, megahertz);
}

int nvmlDeviceGetMaxClockInfo(const device_t *device, uint clock, uint *megahertz) {
    char key[64];
    if (NAME_OF(CLOCKS, clock, "clock_max_mhz.", key) != SUCCESS) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, key, megahertz);
}

int nvmlDeviceGetViolationStatus(const device_t *device, uint policy, violation_t *found) {
    static const char *const POLICIES[] = {
        "power", "thermal", "sync_boost", "board_limit", "low_utilization", "reliability",
        NULL, NULL, NULL, NULL, "app_clocks", "base_clocks",
    };
    char key[64];
    found->reference = 1;
    if (NAME_OF(POLICIES, policy, "violation_ns.", key) != SUCCESS) return INVALID_ARGUMENT;
    return answer_u64(device, __func__, key, &found->violation);
}

int nvmlDeviceGetTemperature(const device_t *device, uint sensor, uint *celsius) {
    if (sensor != 0) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, "temperature_celsius", celsius);
}

int nvmlDeviceGetTemperatureV(const device_t *device, temperature_t *found) {
    if (found->version != TEMPERATURE_V1) return VERSION_MISMATCH;
    if (found->sensor != 0) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, "temperature_celsius", (uint *)&found->celsius);
}

int nvmlDeviceGetMarginTemperature(const device_t *device, margin_t *found) {
    if (found->version != MARGIN_V1) return VERSION_MISMATCH;
    return answer_uint(device, __func__, "temperature_margin_celsius", (uint *)&found->margin);
}

int nvmlDeviceGetTemperatureThreshold(const device_t *device, uint threshold, uint *celsius) {
    static const char *const THRESHOLDS[] = {"shutdown", "slowdown", "memory_max", "gpu_max"};
    char key[64];
    if (NAME_OF(THRESHOLDS, threshold, "temperature_limit_celsius.", key) != SUCCESS) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, key, celsius);
}

int nvmlDeviceGetFanSpeed_v2(const device_t *device, uint fan, uint *percent) {
    char key[64];
    snprintf(key, sizeof key, "fan_percent.%u", fan);
    return answer_uint(device, __func__, key, percent);
}

int nvmlDeviceGetPcieThroughput(const device_t *device, uint counter, uint *kilobytes_per_second) {
    static const char *const DIRECTIONS[] = {"tx", "rx"};
    char key[64];
    if (NAME_OF(DIRECTIONS, counter, "pcie_kb_per_second.", key) != SUCCESS) return INVALID_ARGUMENT;
    return answer_uint(device, __func__, key, kilobytes_per_second);
}

/* Calls that give one value of the scenario as it stands there. */
#define GIVES(call, type, answer, key) \
    int call(const device_t *device, type *value) { return answer(device, __func__, key, value); }
#define FIGURE(call, key) GIVES(call, uint, answer_uint, key)
#define BIG_FIGURE(call, key) GIVES(call, ulong64, answer_u64, key)

BIG_FIGURE(nvmlDeviceGetSupportedClocksEventReasons, "clock_reasons_supported")
BIG_FIGURE(nvmlDeviceGetSupportedClocksThrottleReasons, "clock_reasons_supported")
BIG_FIGURE(nvmlDeviceGetCurrentClocksEventReasons, "clock_reasons")
BIG_FIGURE(nvmlDeviceGetCurrentClocksThrottleReasons, "clock_reasons")
FIGURE(nvmlDeviceGetPowerUsage, "power_mw")
FIGURE(nvmlDeviceGetEnforcedPowerLimit, "power_limit_mw")
FIGURE(nvmlDeviceGetPowerManagementLimit, "power_limit_mw")
FIGURE(nvmlDeviceGetPowerManagementDefaultLimit, "power_default_limit_mw")
BIG_FIGURE(nvmlDeviceGetTotalEnergyConsumption, "energy_mj")
FIGURE(nvmlDeviceGetNumFans, "fans")
FIGURE(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation")
FIGURE(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_generation_max")
FIGURE(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
FIGURE(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
FIGURE(nvmlDeviceGetPcieReplayCounter, "pcie_replays")
