/** All between header and bottom, above the keyboard where there is one. */
import { useHeaderHeight } from 'expo-router/react-navigation';
import type { ReactNode } from 'react';
import { KeyboardAvoidingView, StyleSheet } from 'react-native';

export function Room({ children }: { children: ReactNode }) {
  // Where the keyboard begins is counted from the screen's top, and this view begins below it.
  const above = useHeaderHeight();
  return (
    <KeyboardAvoidingView
      role="main"
      behavior="padding"
      keyboardVerticalOffset={above}
      style={styles.all}
    >
      {children}
    </KeyboardAvoidingView>
  );
}

const styles = StyleSheet.create({ all: { flex: 1 } });
