export * from '@evstream/core'
