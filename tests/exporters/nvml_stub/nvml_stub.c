/* A libnvidia-ml.so.1 for machines without a GPU: it drives the real pynvml with the figures of an H100 under load
 * (see tests/data/node_exporter/README.md). Signatures and constants follow nvml.h.
 *
 * Files in $NVML_STUB_DIR change its answers while it runs; each holds one number:
 *   devices  how many devices there are (2)
 *   init     what nvmlInitWithFlags returns (0)
 *   count    what nvmlDeviceGetCount_v2 returns (0)
 *   lost     index of a device that is lost (none)
 *   hang     1: nvmlDeviceGetCount_v2 does not return until the file is gone (0)
 *   old      1: the calls that drivers before 535 lack are not supported in their new form (0)
 *
 * On purpose: no device supports the PCIe replay counter, and device 1 gives 0xFFFFFFFF for its power draw.
 */
#define _POSIX_C_SOURCE 199309L /* nanosleep */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13,
    GPU_IS_LOST = 15,
};
enum { CLOCK_SM = 1, CLOCK_MEM = 2 };

typedef struct { int index; } device_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int version, sensor; int celsius; } temperature_t;
typedef struct {
    char bus_id_legacy[16];
    unsigned int domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } process_t;

static const unsigned long long TOTAL = 85520809984ULL, USED = 20780679168ULL, RESERVED = 502267904ULL;
static device_t devices[16] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}};

static int setting(const char *name, int otherwise) {
    char path[4096];
    const char *folder = getenv("NVML_STUB_DIR");
    if (folder == NULL) return otherwise;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) return otherwise;
    int value;
    if (fscanf(file, "%d", &value) != 1) value = otherwise;
    fclose(file);
    return value;
}

static int state(const device_t *device) { return device->index == setting("lost", -1) ? GPU_IS_LOST : SUCCESS; }

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return setting("init", SUCCESS); }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *text, unsigned int size) {
    snprintf(text, size, "590.48.01");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13010; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    while (setting("hang", 0)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    *count = (unsigned int)setting("devices", 2);
    return setting("count", SUCCESS);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **device) {
    if (index >= 16) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(device_t *device, char *text, unsigned int size) {
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", device->index);
    return SUCCESS;
}

int nvmlDeviceGetName(device_t *device, char *text, unsigned int size) {
    snprintf(text, size, "NVIDIA H100 80GB HBM3");
    return state(device);
}

int nvmlDeviceGetCudaComputeCapability(device_t *device, int *major, int *minor) {
    *major = 9, *minor = 0;
    return state(device);
}

int nvmlDeviceGetPciInfo_v3(device_t *device, pci_info_t *info) {
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:09.0", device->index);
    return state(device);
}

int nvmlDeviceGetUtilizationRates(device_t *device, utilization_t *rates) {
    rates->gpu = 100, rates->memory = 11;
    return state(device);
}

int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    memory->total = TOTAL, memory->used = USED + RESERVED, memory->free = TOTAL - USED - RESERVED;
    return state(device);
}

int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory_v2_t *memory) {
    if (setting("old", 0)) return FUNCTION_NOT_FOUND;
    memory->total = TOTAL, memory->used = USED, memory->reserved = RESERVED, memory->free = TOTAL - USED - RESERVED;
    return state(device);
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned int *milliwatts) {
    *milliwatts = device->index == 1 ? UINT32_MAX : 631950;
    return state(device);
}

int nvmlDeviceGetEnforcedPowerLimit(device_t *device, unsigned int *milliwatts) {
    *milliwatts = 700000;
    return state(device);
}

int nvmlDeviceGetTotalEnergyConsumption(device_t *device, unsigned long long *millijoules) {
    *millijoules = 123456789012ULL;
    return state(device);
}

int nvmlDeviceGetTemperatureV(device_t *device, temperature_t *temperature) {
    if (setting("old", 0)) return FUNCTION_NOT_FOUND;
    temperature->celsius = 59;
    return state(device);
}

int nvmlDeviceGetTemperature(device_t *device, unsigned int sensor, unsigned int *celsius) {
    (void)sensor;
    *celsius = 58;
    return state(device);
}

static int megahertz(const device_t *device, unsigned int clock, unsigned int *found) {
    *found = clock == CLOCK_SM ? 1980 : 2619;
    return clock == CLOCK_SM || clock == CLOCK_MEM ? state(device) : INVALID_ARGUMENT;
}

int nvmlDeviceGetClockInfo(device_t *device, unsigned int clock, unsigned int *found) {
    return megahertz(device, clock, found);
}

int nvmlDeviceGetMaxClockInfo(device_t *device, unsigned int clock, unsigned int *found) {
    return megahertz(device, clock, found);
}

int nvmlDeviceGetSupportedClocksEventReasons(device_t *device, unsigned long long *reasons) {
    *reasons = 511; /* as captured; the display-clock bit (0x100) is taken off device 1 */
    if (device->index == 1) *reasons = 255;
    return state(device);
}

int nvmlDeviceGetCurrentClocksEventReasons(device_t *device, unsigned long long *reasons) {
    *reasons = 0x4; /* software power cap */
    return state(device);
}

int nvmlDeviceGetTotalEccErrors(device_t *device, unsigned int kind, unsigned int counter, unsigned long long *count) {
    if (counter != 0) return INVALID_ARGUMENT; /* volatile ones are expected to be asked for */
    *count = kind == 0 ? 3 : 0;
    return state(device);
}

int nvmlDeviceGetPcieReplayCounter(device_t *device, unsigned int *count) {
    (void)device, (void)count;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned int *count, process_t *processes) {
    unsigned int room = *count;
    *count = 3;
    if (state(device) != SUCCESS) return state(device);
    if (room < 3) return INSUFFICIENT_SIZE;
    for (unsigned int i = 0; i < 3; i++) processes[i] = (process_t){.pid = 11327 + i, .used = 1616904192ULL};
    return SUCCESS;
}
