/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libqmp: everything one QEMU says. */

#include <qmp/batch.h>
#include <qmp/client.h>
#include <qmp/error.h>
#include <qmp/features.h>
#include <qmp/graph.h>
#include <qmp/guest-agent.h>
#include <qmp/job.h>
#include <qmp/listener.h>
